"""Watches a run's steps and tells listeners: the command line's bars, the UI's artifacts."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from latentsync.review.plots import plot_run
from tasks.reporting import STAGES
from tasks.run import Run, Submitted
from tasks.steps import Step

INTERVAL_SECONDS = 0.5


@dataclass(frozen=True)
class StageProgress:
    """Units done of a stage: frames for generate and render, tasks for the others."""

    done: int
    total: int
    note: str = ""


Listener = Callable[[dict[str, StageProgress]], None]

listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(hear: Listener) -> Iterator[None]:
    """Let ``hear`` be told of the progress of runs in this thread."""
    token = listener.set(hear)
    try:
        yield
    finally:
        listener.reset(token)


@contextmanager
def following(run: Run) -> Iterator[None]:
    """Call the current listener twice a second while the run goes on, and once at its end."""
    tell = listener.get() or (lambda stages: None)
    stop = threading.Event()

    def follow() -> None:
        while not stop.wait(INTERVAL_SECONDS):
            tell(_sampled(run))

    thread = threading.Thread(target=follow, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        tell(_sampled(run))


def _sampled(run: Run) -> dict[str, StageProgress]:
    stages, seconds = stage_progress(run), time.time() - run.began
    for name, stage in stages.items():
        if stage.total:
            run.history.setdefault(name, []).append((seconds, stage.done / stage.total))
    return stages


def plot_progress(run: Run, folder: Path) -> None:
    """Plot memory and progress over time into the run's report folder."""
    plot_run(run.memory.samples, run.history, folder / "memory-and-progress.png")


def stage_progress(run: Run) -> dict[str, StageProgress]:
    """How far each stage is."""
    steps, progress = run.steps(), {}
    for stage in STAGES:
        items = [item for item in list(run.submitted.values()) if item.stage == stage]
        done = sum(item.units if item.completed else _frames_done(item, steps) for item in items)
        notes = {steps[item.name].note for item in items if item.name in steps and not item.done}
        progress[stage] = StageProgress(done, sum(item.units for item in items), ", ".join(notes - {""}))
    return progress


def _frames_done(item: Submitted, steps: dict[str, Step]) -> int:
    """Frames of an unfinished task; those of the overlap do not count twice."""
    return min(steps[item.name].done_frames, item.frames) if item.name in steps else 0
