"""How far a run's stages are, told twice a second: to the command line's bars and to Prefect's UI."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

from flows.observe.series import Series
from tasks.run import Run

INTERVAL_SECONDS = 0.5


@dataclass(frozen=True)
class StageProgress:
    """Units done of a stage: frames where its tasks have some, else tasks."""

    done: int
    total: int
    note: str = ""


Listener = Callable[[dict[str, StageProgress]], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(hear: Listener) -> Iterator[None]:
    """Let ``hear`` be told of the progress of runs in this thread."""
    token = _listener.set(hear)
    try:
        yield
    finally:
        _listener.reset(token)


class Following:
    """Tells listeners how far a run is while it is entered, and once at its end."""

    def __init__(self, run: Run, *listeners: Listener) -> None:
        self.history: dict[str, Series[tuple[float, float]]] = {}  # stage -> (seconds, share done)
        self._run = run
        self._listeners = [hear for hear in (_listener.get(), *listeners) if hear]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._tell()

    def _follow(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            self._tell()

    def _tell(self) -> None:
        stages, seconds = stage_progress(self._run), time.monotonic() - self._run.began
        for name, stage in stages.items():
            if stage.total:
                self.history.setdefault(name, Series(_later)).add((seconds, stage.done / stage.total))
        for hear in self._listeners:
            hear(stages)


def stage_progress(run: Run) -> dict[str, StageProgress]:
    """How far each stage is: a tally of what has ended, and what the tasks that run now say."""
    doing = run.doing()
    progress = {}
    for name, tally in list(run.tallies.items()):
        running = [(run.submitted[task], what) for task, what in doing.items() if _is_of(run, task, name)]
        done = tally.done + sum(min(what.frames, item.frames) for item, what in running)  # of no overlap
        notes = {what.note for _, what in running}
        progress[name] = StageProgress(done, tally.total, ", ".join(sorted(notes - {""})))
    return progress


def _is_of(run: Run, task: str, stage: str) -> bool:
    item = run.submitted.get(task)
    return item is not None and item.stage.name == stage and item.state is None


def _later(_first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    return second
