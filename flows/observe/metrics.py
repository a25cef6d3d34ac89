"""Figures of runs for Prometheus, counted from what tasks return.

Runs are processes that come and go, so prometheus_client keeps the figures in files of a folder, in which
`lipsync pool-worker --metrics` adds them up. Imported only where ``PROMETHEUS_MULTIPROC_DIR`` names that folder.
"""

import time
from collections import Counter as Tally
from collections.abc import Callable
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge

from flows.observe.progress import StageProgress
from latentsync.publishing.writer import PublishResult
from latentsync.storage.throttle import MIB
from tasks.reporting import MemoryPeaks, peak_gpu_mib, peak_rss_mib, written_bytes
from tasks.run import Run
from tasks.stages import STAGES
from tasks.submitted import Submitted

INTERVAL_SECONDS = 5.0
HERE = CollectorRegistry()  # of this process, which nobody scrapes
TASK_ENDS, RUN_ENDS = ("made", "cached", "failed", "skipped"), ("completed", "failed", "stopped")


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, namespace="lipsync", registry=HERE)


RUNS = _counter("runs", "Runs that ended, but for killed ones", "end")
TASKS = _counter("tasks", "Tasks that ended; cached: an earlier run had made the result", "stage", "end")
FRAMES = _counter("frames", "Frames of the tasks that were made, counted as they end", "stage")
SECONDS = _counter("task_seconds", "Seconds of the tasks that were made", "stage")
GPU_SECONDS = _counter("gpu_seconds", "Seconds that tasks held a GPU, by their share of it", "stage")
WRITTEN = _counter("written_bytes", "Work files, and outputs (stage publish)", "stage")
RETRIES = _counter("retries", "Attempts after the first of tasks that then went well", "stage")
MEMORY_STEPS = _counter("gpu_memory_steps", "Times that GPU memory ran out, and less was done at a time", "stage")
SCORED = _counter("segments_scored", "Segments that were judged")
BELOW = _counter("segments_below_score", "Segments that stayed below the limits of the score")
QUEUE = Gauge(
    "unfinished_tasks", "Tasks that wait or run now", ("stage", "state"),
    namespace="lipsync", registry=HERE, multiprocess_mode="livesum",
)  # fmt: skip
MEMORY = Gauge(
    "peak_memory_bytes", "Largest so far of a process tree or worker of the runs at work: resident, gpu", ("memory",),
    namespace="lipsync", registry=HERE, multiprocess_mode="livemax",
)  # fmt: skip
BY_STAGE = (FRAMES, SECONDS, GPU_SECONDS, WRITTEN, RETRIES, MEMORY_STEPS)


class Metrics:
    """Listener that counts what a run's tasks have returned since it was last told."""

    def __init__(self, run: Run, peaks: Callable[[], MemoryPeaks]) -> None:
        self._run, self._peaks = run, peaks
        self._counted: set[str] = set()  # names of tasks
        self._next = 0.0

    def __enter__(self) -> Self:
        for stage in STAGES:  # a series that begins at 1 has not risen, for Prometheus
            for counter in BY_STAGE:
                counter.labels(stage)
            for end in TASK_ENDS:
                TASKS.labels(stage, end)
        for end in RUN_ENDS:
            RUNS.labels(end)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._look()
        verdicts = self._run.verdicts.values()
        SCORED.inc(len(verdicts))
        BELOW.inc(sum(bool(verdict.below) for verdict in verdicts))
        RUNS.labels("completed" if kind is None else "failed" if issubclass(kind, Exception) else "stopped").inc()

    def __call__(self, _stages: dict[str, StageProgress]) -> None:
        """Count, every few seconds."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + INTERVAL_SECONDS
            self._look()

    def _look(self) -> None:
        items, doing = list(self._run.submitted.values()), self._run.doing()
        for item in items:
            if item.state and item.name not in self._counted:
                self._counted.add(item.name)
                self._count(item)
        unfinished = Tally((item.stage.name, item.name in doing) for item in items if not item.state)
        for stage in {item.stage.name for item in items}:
            QUEUE.labels(stage, "running").set(unfinished[stage, True])
            QUEUE.labels(stage, "waiting").set(unfinished[stage, False])
        peaks = self._peaks()
        MEMORY.labels("resident").set((peak_rss_mib(self._run, peaks) or 0) * MIB)
        if gpu_mib := peak_gpu_mib(self._run, peaks):
            MEMORY.labels("gpu").set(gpu_mib * MIB)

    def _count(self, item: Submitted) -> None:
        stage, end = item.stage.name, self._end(item)
        TASKS.labels(stage, end).inc()
        if item.result and end == "made":
            took, value = item.result.took, item.result.value
            FRAMES.labels(stage).inc(item.frames)
            SECONDS.labels(stage).inc(took.seconds)
            GPU_SECONDS.labels(stage).inc(took.gpu_seconds or 0)
            RETRIES.labels(stage).inc(took.attempts - 1)
            MEMORY_STEPS.labels(stage).inc(took.gpu_memory_steps or 0)
            output_bytes = value.size_bytes if isinstance(value, PublishResult) else 0
            WRITTEN.labels(stage).inc(written_bytes(self._run, [item]) + output_bytes)

    def _end(self, item: Submitted) -> str:
        """How a task ended; a Retry of a run finds what the run itself has made, and counted."""
        state = item.state
        if item.result:
            return "made" if self._run.made(item) and state and state.name != "Cached" else "cached"
        return "failed" if state and (state.is_failed() or state.is_crashed()) else "skipped"
