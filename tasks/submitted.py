"""The tasks of a run: what was submitted, and how it ended."""

import asyncio
import concurrent.futures
import functools
import threading
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from prefect.client.schemas.objects import StateDetails
from prefect.futures import PrefectFuture
from prefect.states import Completed, State

from latentsync.errors import LipsyncError
from latentsync.records import Record, Segment
from tasks.results import Done
from tasks.stages import Stage

R = TypeVar("R", bound=Record)

_ending = threading.Lock()  # runners call back from other threads


@dataclass
class Tally:
    """What is expected, submitted and done of a stage, in units of progress: frames, or tasks."""

    stage: Stage[..., Any]
    expected: int = 0
    submitted: int = 0
    done: int = 0

    @property
    def total(self) -> int:
        """What there is to do, as far as it is known; the gate may add to it."""
        return max(self.expected, self.submitted)


class Submitted(Generic[R]):
    """A task that was submitted, and what the flow holds of its result.

    Of one that has ended well only its record is kept: all that Prefect needs to make a result is 20 KiB a task.
    """

    def __init__(
        self, name: str, stage: Stage[..., Any], future: PrefectFuture[Done[R]], segment: Segment | None, frames: int
    ) -> None:
        self.name = name  # in the timeline
        self.stage = stage
        self.segment = segment
        self.frames = frames  # of its segment or chunk; 0: it is not counted in frames
        self.state: State | None = None  # its last one, once it has ended
        self.result: Done[R] | None = None  # once it has ended well
        self._future: PrefectFuture[Done[R]] | None = future
        self.task_run_id = future.task_run_id

    @property
    def units(self) -> int:
        """What progress counts: frames, or the task itself."""
        return self.frames or 1

    @property
    def handle(self) -> PrefectFuture[Done[R]] | State[Done[R]]:
        """What Prefect takes for the result in the parameters of another task: a future, or a state with the result."""
        if self._future:
            return self._future
        return Completed(data=self.result, state_details=StateDetails(task_run_id=self.task_run_id))

    def end(self) -> bool:
        """Wait for the task and keep how it ended; False if that is known already, or the run was stopped before."""
        future = self._future
        if self.state is not None or future is None:
            return False
        try:
            future.wait()
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            return False  # by the runner, in whose thread this is called back
        state = future.state
        with _ending:
            if self.state is not None:
                return False
            if state.is_completed():
                self.result, self._future = future.result(), None
            self.state = _completed(state.name) if self.result else state
        return True

    @property
    def error(self) -> BaseException | None:
        """Why it failed for good; None if it did not, or never started because of another's failure."""
        if self.state is None or self.result:
            return None
        if self.state.is_failed() or self.state.is_crashed():
            return cast(BaseException, self.state.result(raise_on_failure=False))
        wrapped = getattr(self._future, "wrapped_future", None)
        return wrapped.exception() if wrapped else None  # its Dask workers died, again and again


def handle_of(value: object) -> object:
    """A parameter as Prefect takes it; see ``Submitted.handle``."""
    if isinstance(value, list):
        return [handle_of(item) for item in value]
    return value.handle if isinstance(value, Submitted) else value


@functools.cache
def _completed(name: str) -> State:
    """One for all tasks that ended so."""
    return Completed(name=name)


def reason_of(error: BaseException) -> str:
    """What is told of it: our own errors speak for themselves."""
    return str(error) if isinstance(error, LipsyncError) else f"{type(error).__name__}: {error}"
