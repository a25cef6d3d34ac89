"""What every task of a run is doing: one small file per task, written by it and read by the flow.

Files work alike for threads, processes and machines that share the workspace; no server is asked.
Another file, left by a cancelled flow, tells its tasks to stop at their next frame.
"""

import json
import logging
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from prefect.context import TaskRunContext

from latentsync.settings import RunSettings
from latentsync.storage.workspace import Workspace

log = logging.getLogger("latentsync.tasks")  # the library's loggers reach Prefect's UI

INTERVAL_SECONDS = 0.5
STOP = ".stop"  # in the folder of a cancelled run
DONE = ".done"  # in the folder of a retried run: what its earlier attempts have done


class Stopped(Exception):
    """The flow run was cancelled; its tasks end, and remove what they have half done."""


@dataclass(frozen=True)
class Step:
    """One task of a run; times are seconds since the epoch, ``ended`` is None while it runs."""

    name: str
    worker: str
    attempt: int
    began: float
    ended: float | None = None
    failed: bool = False
    done_frames: int = 0
    total_frames: int = 0
    note: str = ""
    peak_rss_mib: int = 0  # of the worker's process, so far
    peak_gpu_mib: int = 0

    @property
    def stage(self) -> str:
        """The part of the name before the number."""
        return self.name.split("-")[0]


class _Tracker:
    def __init__(self, path: Path, step: Step) -> None:
        self.path = path
        self.step = step
        self.written_at = 0.0

    def update(self, throttled: bool = False, **changes: object) -> None:
        self.step = replace(self.step, **changes)
        now = time.monotonic()
        if throttled and now - self.written_at < INTERVAL_SECONDS:
            return
        self.written_at = now
        raise_if_stopped(self.path.parent)
        self._write()

    def end(self, failed: bool) -> None:
        peaks = {"peak_rss_mib": peak_rss_mib(), "peak_gpu_mib": peak_gpu_mib()}
        self.step = replace(self.step, ended=time.time(), failed=failed, **peaks)
        self._write()

    def _write(self) -> None:
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(asdict(self.step)))
        os.replace(temporary, self.path)


_current: ContextVar[_Tracker | None] = ContextVar("tracker", default=None)


def run_folder(settings: RunSettings, run_id: str) -> Path:
    """Where the tasks of a flow run leave their steps."""
    return Workspace.at(settings.work_dir).root / "runs" / run_id


@contextmanager
def tracking(settings: RunSettings, name: str) -> Iterator[None]:
    """Record that the task ``name`` of the current flow run begins and ends."""
    context = TaskRunContext.get()
    if context is None or context.task_run.flow_run_id is None:
        yield
        return
    folder = run_folder(settings, str(context.task_run.flow_run_id))
    folder.mkdir(parents=True, exist_ok=True)
    raise_if_stopped(folder)
    step = Step(name, worker_name(), context.task_run.run_count, began=time.time())
    tracker = _Tracker(folder / name, step)
    tracker.update()
    token = _current.set(tracker)
    failed = True
    try:
        yield
        failed = False
    except Exception as error:  # such as that of an ffmpeg which got the same signal as the flow
        raise_if_stopped(folder, error)
        raise
    finally:
        _current.reset(token)
        tracker.end(failed)


def stop(folder: Path) -> None:
    """Tell the tasks of a run to stop, on every machine that shares the workspace."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STOP).touch()


def raise_if_stopped(folder: Path, cause: Exception | None = None) -> None:
    """Raise ``Stopped`` once ``stop`` was called for the run."""
    if (folder / STOP).exists():
        raise Stopped("the flow run was cancelled") from cause


def peak_rss_mib() -> int:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def peak_gpu_mib() -> int:
    """Largest GPU memory that this process has reserved so far; 0 without torch or a GPU."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_available():
        return 0
    return sum(cuda.max_memory_reserved(index) for index in range(cuda.device_count())) >> 20


def frame_counter(total_frames: int) -> Callable[[int], None]:
    """A callback that records frames done by the current task, at most twice a second."""
    tracker = _current.get()
    if tracker is None:
        return lambda done_frames: None
    tracker.update(total_frames=total_frames)
    return lambda done_frames: tracker.update(throttled=True, done_frames=done_frames)


def note(text: str) -> None:
    """Record and log what the current task waits for; empty: nothing any more. May be called often."""
    tracker = _current.get()
    if tracker and tracker.step.note != text:
        log.info(text or "goes on")
        tracker.update(note=text)
    elif tracker:
        raise_if_stopped(tracker.path.parent)


def redoing() -> bool:
    """Whether the current task shall do its work again although it was done before."""
    context = TaskRunContext.get()
    return context is not None and bool(context.task.refresh_cache)


def attempt() -> int:
    """Number of the current attempt, from 1."""
    tracker = _current.get()
    return tracker.step.attempt if tracker else 1


def read_steps(folder: Path) -> dict[str, Step]:
    """Name -> step, of every task that has started."""
    if not folder.is_dir():
        return {}
    steps = (Step(**json.loads(path.read_text())) for path in sorted(folder.glob("[!.]*")))
    return {step.name: step for step in steps}


def begin_attempt(folder: Path) -> set[str]:
    """Forget the steps of an earlier attempt of the run, and its order to stop; returns the tasks that are done."""
    remembered = folder / DONE
    done = set(json.loads(remembered.read_text())) if remembered.is_file() else set()
    done |= {name for name, step in read_steps(folder).items() if step.ended and not step.failed}
    shutil.rmtree(folder, ignore_errors=True)
    if done:
        folder.mkdir(parents=True)
        remembered.write_text(json.dumps(sorted(done)))
    return done


def worker_name() -> str:
    """Host, and the GPU that this process was given, if any."""
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    return os.uname().nodename + (f" gpu {gpu}" if gpu else "")
