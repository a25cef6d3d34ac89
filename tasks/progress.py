"""What a task does right now: one small file while it runs, written by the task and read by the flow.

Files work alike for threads, processes and machines that share the workspace; no server is asked. They
hold what no result says: frames so far, what is waited for. Another file, left by a cancelled flow, tells
its tasks to stop at their next frame.
"""

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from prefect.context import TaskRunContext

from latentsync.records import Record
from latentsync.storage.workspace import Workspace
from tasks.arenas import return_freed_memory_often

log = logging.getLogger("latentsync.tasks")  # the library's loggers reach Prefect's UI

INTERVAL_SECONDS = 0.5
STOP = ".stop"  # in the folder of a cancelled run


class Stopped(Exception):
    """The flow run ends early (cancelled, or an input refused); its tasks end, and remove what they have half done."""


class Doing(Record):
    """A task that runs: frames done, and what it waits for (empty: nothing)."""

    worker: str
    began: float  # seconds since the epoch, by the worker's clock
    frames: int = 0
    note: str = ""


class Progress:
    """Tells how far the current task is, and raises ``Stopped`` when its run ends early.

    Outside a flow run it tells nobody.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        self._path = folder / name if folder else None
        self._doing = Doing(worker=worker_name(), began=time.time())
        self._written_at = 0.0

    @classmethod
    def of_task(cls, work_dir: str) -> Self:
        """That of the task run in this thread."""
        context = TaskRunContext.get()
        if context is None or context.task_run.flow_run_id is None:
            return cls(None, "")
        return cls(run_folder(work_dir, str(context.task_run.flow_run_id)), context.task_run.name)

    def frames(self, done: int) -> None:
        """Tell the number of frames done; may be called for every frame."""
        self._doing = self._doing.model_copy(update={"frames": done})
        if time.monotonic() - self._written_at >= INTERVAL_SECONDS:
            self._write()
        return_freed_memory_often()

    def note(self, text: str) -> None:
        """Tell and log what is waited for; empty: nothing any more. May be called often."""
        if self._doing.note == text:
            self.check()
            return
        log.info(text or "goes on")
        self._doing = self._doing.model_copy(update={"note": text})
        self._write()

    def check(self, cause: Exception | None = None) -> None:
        """Raise ``Stopped`` once ``stop`` was called for the run."""
        if self._path and (self._path.parent / STOP).exists():
            raise Stopped("the run ends early: it was cancelled, or an input was refused") from cause

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Let the flow see the task while the block runs."""
        self._write()
        try:
            yield
        except Exception as error:  # such as that of an ffmpeg which got the same signal as the flow
            self.check(error)
            raise
        finally:
            if self._path:
                self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        self._written_at = time.monotonic()
        if self._path is None:
            return
        self.check()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        temporary.write_text(self._doing.model_dump_json())
        os.replace(temporary, self._path)


def run_folder(work_dir: str, run_id: str) -> Path:
    """Where the tasks of a flow run tell how far they are."""
    return Workspace.at(work_dir).root / "runs" / run_id


def read_progress(folder: Path) -> dict[str, Doing]:
    """Name -> what it does, of every task that runs now."""
    doing = {}
    for path in folder.glob("[!.]*"):
        with contextlib.suppress(OSError, ValueError):  # it has just ended, or a network file system tears it
            doing[path.name] = Doing.model_validate_json(path.read_bytes())
    return doing


def stop(folder: Path) -> None:
    """Tell the tasks of a run to stop, on every machine that shares the workspace."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STOP).touch()


def begin(folder: Path) -> None:
    """Forget what an earlier attempt of the run left: its order to stop, and tasks that were killed."""
    for path in folder.glob("*"):
        if path.is_file():
            path.unlink(missing_ok=True)


def worker_name() -> str:
    """Host, and the GPU that this process was given, if any."""
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    return os.uname().nodename + (f" gpu {gpu}" if gpu else "")
