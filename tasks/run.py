"""One run of the flow: submits tasks, remembers them, waits for all and tells how it went."""

import contextlib
import itertools
import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Self, TypeVar

from prefect.context import FlowRunContext
from prefect.transactions import IsolationLevel

from latentsync.engines.registry import uses_gpu
from latentsync.errors import InputError, InternalError, SegmentsFailed, TransientError, WeightsError
from latentsync.records import Artefact, Chunk, Record, Segment
from latentsync.segments.verdict import Verdict
from latentsync.settings import Settings
from latentsync.storage.workspace import Workspace
from tasks.leaving import given_back, leave
from tasks.locks import KeyLocks
from tasks.progress import Doing, begin, read_progress, run_folder, stop
from tasks.results import LOCAL, Done, Records, RecordSerializer, bring, files_in
from tasks.runners import runner_of
from tasks.stages import ContentKey, Stage
from tasks.submitted import Submitted, Tally, handle_of, reason_of
from tasks.temporary_server import watched_server
from tasks.usage import cpu_seconds

log = logging.getLogger("latentsync.tasks")  # the library's loggers reach Prefect's UI
R = TypeVar("R", bound=Record)

JITTER = 0.5  # share of the back-off by which retries are spread, so that they do not meet again
USERS_ERRORS = InputError | WeightsError
STOP_SECONDS = 8.0  # for tasks of a cancelled run to end; one asleep between two attempts does not hear

_current: ContextVar["Run | None"] = ContextVar("run", default=None)


class Run:
    """Context of one flow run; stages that are submitted within it belong to it."""

    def __init__(self, settings: Settings, force_segments: Sequence[int] = ()) -> None:
        context = FlowRunContext.get()
        flow_run = context.flow_run if context else None
        self.id = str(flow_run.id) if flow_run else LOCAL
        self.of_deployment = bool(flow_run and flow_run.deployment_id)
        self.is_shown = bool(self.of_deployment or (flow_run and flow_run.parent_task_run_id))  # or of a batch
        self.settings = settings
        self.tags = sorted({*settings.tags, *(flow_run.tags if flow_run else ())})
        self.workspace = Workspace.at(settings.run.work_dir)
        self.folder = run_folder(settings.run.work_dir, self.id)
        self.submitted: dict[str, Submitted] = {}
        self.verdicts: dict[int, Verdict] = {}  # by segment, once the gate has judged them
        self.tallies: dict[str, Tally] = {}  # by stage, in the order of the flow
        self._flow_run = context
        self.began, self._cpu_began = time.monotonic(), cpu_seconds()
        self._force = set(force_segments)
        self._place = runner_of(settings.run)
        self._runner = self._place.start()
        self._stack = contextlib.ExitStack()

    @classmethod
    def current(cls) -> "Run":
        """The run that this thread is in."""
        run = _current.get()
        assert run, "a stage is submitted within a Run"
        return run

    def __enter__(self) -> Self:
        self.workspace.open()
        begin(self.folder)
        if self.of_deployment:
            self._stack.enter_context(given_back())  # the first to be entered: all has ended when it gives back
        self._stack.enter_context(watched_server())
        address = self.settings.run.dask_address
        try:
            self._stack.enter_context(self._runner)
            needed = {"CPU", *(["GPU"] if uses_gpu(self.settings.engine) else [])}
            for kind in self._place.missing(needed):
                log.warning("no Dask worker at %s offers a %s: tasks wait for one (see lipsync worker)", address, kind)
        except OSError as error:
            self._stack.close()
            raise TransientError(f"the Dask scheduler at {address} does not answer ({error}); start it") from error
        self._stack.callback(_current.reset, _current.set(self))
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        with self._stopping(kind) if kind and not issubclass(kind, Exception) else contextlib.nullcontext():
            self._stack.__exit__(kind, *error)

    @contextlib.contextmanager
    def _stopping(self, kind: type[BaseException]) -> Iterator[None]:
        """Stop the tasks of a run that is cancelled or interrupted; leave for good if they do not."""
        stop(self.folder)
        number = signal.SIGINT if issubclass(kind, KeyboardInterrupt) else signal.SIGTERM
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would end the tidying up
        at_last = threading.Timer(STOP_SECONDS, leave, [number])
        at_last.daemon = True
        at_last.start()
        try:
            yield
        finally:
            at_last.cancel()

    def submit(self, stage: Stage[..., Any], parameters: dict[str, Any]) -> Submitted:
        """Submit a stage; segments in ``force_segments`` are made again even if they are done, without the cache all.

        What this run itself has made, in an earlier attempt or before a worker died, is kept (see ``Stage.run``).
        """
        segment: Segment | None = parameters.get("segment")
        settings = self.settings.run
        redo = not settings.cache or (segment is not None and segment.index in self._force)
        locks = KeyLocks(settings.work_dir)
        policy = ContentKey(stage=stage, lock_manager=locks, isolation_level=IsolationLevel.SERIALIZABLE)
        task = stage.task(
            policy,
            retries=settings.retries,
            retry_delay_seconds=[settings.retry_seconds * 2**attempt for attempt in range(settings.retries)],
            retry_jitter_factor=JITTER,
            persist_result=stage.is_kept,
            result_serializer=RecordSerializer(),
            refresh_cache=redo if stage.is_kept else None,
        )
        task.result_storage = Records(work_dir=settings.work_dir)  # a block that no server needs to know
        given = {name: handle_of(value) for name, value in parameters.items()}
        future = self._place.submit(self._runner, task, given, stage.resource(self.settings))
        return self._remember(stage.template.format(**parameters), stage, future, segment, parameters)

    def _remember(
        self, name: str, stage: Any, future: Any, segment: Segment | None, given: dict[str, Any]
    ) -> Submitted:
        chunk = segment or given.get("chunk")
        names = (f"{name} ({time})" if time > 1 else name for time in itertools.count(1))  # the gate may do it again
        name = next(each for each in names if each not in self.submitted)
        item = Submitted(name, stage, future, segment, chunk.end - chunk.start if chunk else 0)
        self.submitted[name] = item
        self.tallies.setdefault(stage.name, Tally(stage)).submitted += item.units
        future.add_done_callback(lambda _: self._end(item))
        return item

    def _end(self, item: Submitted) -> None:
        """Keep how a task ended: asked for later, it would come from the server, every time."""
        if not item.end():
            return
        if item.result:
            self.tallies[item.stage.name].done += item.units
            if item.frames:
                self._unlink(item.result)
        if item.stage.is_needed and isinstance(item.error, USERS_ERRORS):
            stop(self.folder)  # it is the user's to mend, so nothing comes of the rest

    def _unlink(self, done: Done[Any]) -> None:
        """Let Prefect forget which task made the parts of a result that others get by its handle: a KiB for each."""
        if self._flow_run:
            for part in (done, done.value, done.took):
                self._flow_run.run_results.pop(id(part), None)

    def check_forced(self, segments: Sequence[Segment]) -> None:
        """Raise ``InputError`` when a segment is to be made again that the job does not have."""
        if unknown := self._force - {segment.index for segment in segments}:
            known = f"{segments[0].index} to {segments[-1].index}"
            raise InputError(f"force_segments {sorted(unknown)}: this job has segments {known}")

    def expect(self, stage: Stage[..., Any], parts: Sequence[Segment | Chunk]) -> None:
        """Let progress know at once how many frames a stage has to do: its tasks are submitted by and by."""
        self.tallies[stage.name] = Tally(stage, sum(part.end - part.start for part in parts))

    def wait_for_all_but(self, last: int) -> None:
        """Wait until of all tasks only the ``last`` ones that were submitted may still wait or run."""
        for item in [item for item in self.submitted.values() if item.state is None][:-last]:
            self._end(item)

    def wait(self, item: Submitted[R]) -> R:
        """Wait for one result that all others need; raises why there is none."""
        self._end(item)
        if item.result is None:
            self.wait_for_all()
            raise InternalError(f"{item.name} has no result and no error: {item.state}")
        return item.result.value

    def wait_here(self, item: Submitted[R]) -> R:
        """As ``wait``, of a result whose files the flow itself reads: they may have been made on another machine."""
        bring([value := self.wait(item)])
        return value

    def wait_for_unneeded(self, item: Submitted[R]) -> R | None:
        """Wait for a result that the run can do without; None, and a warning, when there is none."""
        self._end(item)
        if error := item.error:
            log.warning("no %s: %s", item.name, reason_of(error))
        return item.result.value if item.result else None

    def wait_for_all(self) -> None:
        """Wait for everything submitted; raises one error that names all that failed."""
        for item in self.submitted.values():
            self._end(item)  # Dask calls back later, from another thread
        needed = [item for item in self.submitted.values() if item.stage.is_needed]
        errors = {item.name: error for item in needed if (error := item.error)}
        if told := next((error for error in errors.values() if isinstance(error, USERS_ERRORS)), None):
            raise told  # as it is
        if errors:
            raise SegmentsFailed({name: reason_of(error) for name, error in errors.items()}, self.id)

    def drop_work(self, *stages: Stage[..., Any]) -> None:
        """Delete the files that nothing needs any more, those of ``stages``, unless they are kept for later runs.

        After publishing, and not before: until then a run that is killed finds them again.
        """
        if self.settings.run.keep_work:
            return
        for item in self.submitted.values():
            for file in self.files_of(item) if item.stage in stages else ():
                self.workspace.drop(file)

    def files_of(self, item: Submitted) -> list[Artefact]:
        """The files in the workspace that a task has made or found done."""
        files = files_in([item.result and item.result.value])
        return [file for file in files if file.path.is_relative_to(self.workspace.root)]

    @property
    def is_elsewhere(self) -> bool:
        """Whether tasks run in other processes than this one."""
        return self._place.elsewhere

    @property
    def cpu_seconds(self) -> float:
        """Of this process so far, and of those children that have ended."""
        return cpu_seconds() - self._cpu_began

    def result_of(self, stage: str) -> Any:
        """The value of a stage that has one task and has ended well, else None."""
        item = self.submitted.get(stage)
        return item.result.value if item and item.result else None

    def made(self, item: Submitted) -> bool:
        """Whether this run has really made a result, and not an earlier one."""
        return item.result is not None and item.result.took.run == self.id

    def stages_at_work(self) -> set[str]:
        """Names of the stages of which tasks run now."""
        items = (self.submitted.get(name) for name in self.doing())
        return {item.stage.name for item in items if item and item.state is None}

    def doing(self) -> dict[str, Doing]:
        """What the tasks that run now are doing."""
        return read_progress(self.folder)
