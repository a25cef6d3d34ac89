"""The tasks of a run: what was submitted, and how it ended."""

from dataclasses import dataclass
from typing import Any, cast

from prefect.futures import PrefectFuture
from prefect.states import State

from latentsync.errors import LipsyncError
from latentsync.records import Segment
from tasks.results import Done
from tasks.stages import Stage


@dataclass
class Tally:
    """What is submitted and done of a stage, in units of progress: frames, or tasks."""

    stage: Stage[..., Any]
    total: int = 0
    done: int = 0


@dataclass
class Submitted:
    """A task that was submitted, by its name in the timeline."""

    name: str
    stage: Stage[..., Any]
    future: PrefectFuture[Done[Any]]
    segment: Segment | None
    frames: int  # of its segment or chunk; 0: it is not counted in frames
    state: State | None = None  # its last one, once it has ended
    result: Done[Any] | None = None  # once it has ended well

    @property
    def units(self) -> int:
        """What progress counts: frames, or the task itself."""
        return self.frames or 1


def error_of(item: Submitted) -> BaseException | None:
    """Why a task failed for good; None if it did not, or never started because of another's failure."""
    state = item.state
    if state is None or state.is_completed():
        return None
    if state.is_failed() or state.is_crashed():
        return cast(BaseException, state.result(raise_on_failure=False))
    wrapped = getattr(item.future, "wrapped_future", None)
    return wrapped.exception() if wrapped else None  # its Dask workers died, again and again


def reason_of(error: BaseException) -> str:
    """What is told of it: our own errors speak for themselves."""
    return str(error) if isinstance(error, LipsyncError) else f"{type(error).__name__}: {error}"
