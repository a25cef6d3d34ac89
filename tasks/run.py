"""One run of the flow: submits tasks, remembers them, waits for all and tells how it went."""

import contextlib
import inspect
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

from prefect import Task
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.states import State

from latentsync.engines.registry import uses_gpu
from latentsync.errors import InputError, LipsyncError, SegmentsFailed, TransientError, WeightsError
from latentsync.job import Plan
from latentsync.publishing.memory_watch import MemoryWatch
from latentsync.records import Segment
from latentsync.settings import Settings
from tasks.policy import lacking_workers, options_for, parallel_tasks, placed, task_runner
from tasks.steps import Step, begin_attempt, read_steps, run_folder, stop
from tasks.temporary_server import watched_server

log = logging.getLogger("latentsync.tasks")  # the library's loggers reach Prefect's UI

MEMORY_SECONDS = 2.0  # between samples: each costs milliseconds of CPU per process
GPU_STAGES = {"generate", "voice"}
REPORT = ".report"  # in the folder of a run: pictures for the UI, when nobody says where else
STOP_SECONDS = 8.0  # for tasks of a cancelled run to end; one asleep between two attempts does not hear


@dataclass
class Submitted:
    """A task that was submitted, by its name in the timeline."""

    name: str
    future: PrefectFuture
    frames: int
    state: State | None = None  # its last one, once it has ended

    @property
    def stage(self) -> str:
        """The part of the name before the number; track counts as plan."""
        return {"track": "plan"}.get(stage := self.name.split("-")[0], stage)

    @property
    def units(self) -> int:
        """What progress counts: frames, or the task itself."""
        return self.frames or 1

    def end(self) -> None:
        """Keep the last state: asked for later, it would come from the server, every time."""
        self.future.wait()
        self.state = self.future.state

    @property
    def done(self) -> bool:
        """Whether the task has ended, well or not."""
        return self.state is not None

    @property
    def completed(self) -> bool:
        """Whether the task is done and did not fail."""
        return self.state is not None and self.state.is_completed()

    @property
    def cached(self) -> bool:
        """Whether a finished task took its result from an earlier run."""
        return self.state is not None and self.state.name == "Cached"


class Run:
    """Context of one flow run; call it to submit a task, as in ``run(generate, job, plan, segment)``."""

    def __init__(self, settings: Settings, force_segments: Sequence[int] = ()) -> None:
        context = FlowRunContext.get()
        self.id = str(context.flow_run.id) if context and context.flow_run else "local"
        self.settings = settings
        self.folder = run_folder(settings.run, self.id)
        self.submitted: dict[str, Submitted] = {}
        self.history: dict[str, list[tuple[float, float]]] = {}  # stage -> (seconds, share done)
        self.began = time.time()
        self.memory = MemoryWatch(interval_seconds=MEMORY_SECONDS)
        self._in_ui = bool(context and context.flow_run and context.flow_run.deployment_id)
        self._force = set(force_segments)
        self._done_before: set[str] = set()
        self._runner = task_runner(settings.run)
        self._stack = contextlib.ExitStack()

    @property
    def report_dir(self) -> Path | None:
        """Where pictures of the result go: as the settings say, else for the UI of a deployment's run, if it is new."""
        if self.settings.run.report_dir:
            return Path(self.settings.run.report_dir)
        join = self.submitted.get("join")
        is_new = join is not None and join.completed and not join.cached
        return self.folder / REPORT if self._in_ui and is_new else None

    def __enter__(self) -> Self:
        self._done_before = begin_attempt(self.folder)
        self._stack.enter_context(watched_server())
        self._stack.enter_context(self.memory)
        address = self.settings.run.dask_address
        try:
            self._stack.enter_context(self._runner)
            for kind in lacking_workers(self.settings.run, uses_gpu(self.settings.engine)):
                log.warning("no Dask worker at %s offers a %s: tasks wait for one (see lipsync worker)", address, kind)
        except OSError as error:
            self._stack.close()
            raise TransientError(f"the Dask scheduler at {address} does not answer ({error}); start it") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        with self._stopping() if kind and not issubclass(kind, Exception) else contextlib.nullcontext():
            self._stack.__exit__(kind, *error)

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        """Stop the tasks of a run that is cancelled or interrupted; leave for good if they do not."""
        stop(self.folder)
        leave = threading.Timer(STOP_SECONDS, os._exit, [1])
        leave.daemon = True
        leave.start()
        yield
        leave.cancel()

    def __call__(self, task: Task, *args: Any) -> PrefectFuture:
        """Submit ``task(*args)``; segments in ``force_segments`` are made again even if they are cached.

        Without the cache, all are. A retried run keeps what its earlier attempts have made.
        """
        segment = next((arg for arg in args if isinstance(arg, Segment)), None)
        parameters = inspect.signature(task.fn).bind(*args).arguments
        name = str(task.task_run_name).format(**parameters)
        forced = not self.settings.run.cache or (segment is not None and segment.index in self._force)
        bound = task.with_options(**options_for(task, self.settings.run, forced and name not in self._done_before))
        gpu = task.name in GPU_STAGES and uses_gpu(self.settings.engine)
        with placed(self.settings.run, gpu):
            future = self._runner.submit(bound, parameters=parameters)
        self._remember(name, future, segment)
        return future

    def _remember(self, name: str, future: PrefectFuture, segment: Segment | None) -> None:
        item = Submitted(name, future, segment.frames if segment else 0)
        self.submitted[name] = item
        future.add_done_callback(lambda _: item.end())

    def staggered(self, plan: Plan) -> Iterator[tuple[Segment | None, Segment | None]]:
        """Segments to generate and to render next, in the order that keeps all workers busy.

        A render waits for its faces in a worker, so it is submitted only when as many generate
        tasks as there are workers are ahead of it.
        """
        if unknown := self._force - {segment.index for segment in plan.segments}:
            raise InputError(f"force_segments {sorted(unknown)}: this job has segments 0 to {len(plan.segments) - 1}")
        lag = min(max(parallel_tasks(self.settings.run) - 1, 1), len(plan.segments))
        nothing = [None] * lag
        yield from zip([*plan.segments, *nothing], [*nothing, *plan.segments], strict=True)

    def result(self, future: PrefectFuture) -> Any:
        """Wait for one result that all others need; raises why there is none."""
        future.wait()
        if not future.state.is_completed():
            self._raise_failures()
        return future.result()

    def results(self, futures: Sequence[PrefectFuture]) -> list[Any]:
        """Wait for everything submitted; the results, or one error that names all that failed."""
        for item in self.submitted.values():
            item.end()  # Dask calls back later, from another thread
        self._raise_failures()
        return [future.result() for future in futures]

    def _raise_failures(self) -> None:
        errors = {item.name: error for item in self.submitted.values() if (error := _error(item.future))}
        for error in errors.values():
            if isinstance(error, InputError | WeightsError):  # the user's to mend: said as it is
                raise error
        if errors:
            raise SegmentsFailed({name: _reason(error) for name, error in errors.items()}, self.id)

    def steps(self) -> dict[str, Step]:
        """What the tasks of this run have done so far."""
        return read_steps(self.folder)


def _error(future: PrefectFuture) -> BaseException | None:
    """Why a task failed for good; None if it did not, or never started because of another's failure."""
    state = future.state
    if state.is_failed() or state.is_crashed():
        return cast(BaseException, state.result(raise_on_failure=False))
    if state.is_completed():
        return None
    return cast(Any, future).wrapped_future.exception()  # its Dask workers died, again and again


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, LipsyncError) else f"{type(error).__name__}: {error}"
