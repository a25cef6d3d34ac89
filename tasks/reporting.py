"""Turn what a run's tasks returned into the report, in one pass."""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import NamedTuple

from prefect.context import FlowRunContext

from latentsync.forecast.space import space_of
from latentsync.job import Job, Plan
from latentsync.publishing.report import FileReport, Report, SegmentReport, StageReport, TaskReport
from latentsync.publishing.writer import PublishResult
from latentsync.records import Artefact
from latentsync.storage.throttle import MIB
from tasks.keys import computed_by
from tasks.results import Took
from tasks.run import Run
from tasks.submitted import Submitted

LIBRARIES = (
    "lipsync-pipeline",
    "prefect",
    "torch",
    "triton",
    "diffusers",
    "transformers",
    "safetensors",
    "numpy",
    "scipy",
    "opencv-contrib-python",
    "mediapipe",
    "av",
    "c2pa-python",
)


class MemoryPeaks(NamedTuple):
    """Of the flow's process tree in MiB; None without a GPU; by stage: resident, while tasks of it ran."""

    rss_mib: float
    gpu_mib: float | None
    stages_rss_mib: dict[str, float]


def make_report(run: Run, job: Job, plan: Plan, published: PublishResult, peaks: MemoryPeaks) -> Report:
    """The contract of ``report.json``."""
    context = FlowRunContext.get()
    tasks: dict[int, dict[str, TaskReport]] = defaultdict(dict)
    for item in run.submitted.values():
        if item.segment:
            tasks[item.segment.index][item.stage.name] = _task(run, item)
    stages = _stages(run, {} if run.is_elsewhere else peaks.stages_rss_mib, space_of(job).model_dump())
    gpu_seconds = _gpu_seconds(run)
    work_mib = sum(stage.written_mib or 0 for stage in stages.values())
    start, end = plan.span
    return Report(
        run_id=run.id,
        run=context.flow_run.name if context and context.flow_run else "",
        video=_file(job.video.file),
        audio=_file(job.audio.file),
        output=FileReport(location=published.destination, sha256=published.sha256, size_bytes=published.size_bytes),
        start=start,
        frames=end - start,
        fps=job.timeline.fps,
        width=job.video.width_px,
        height=job.video.height_px,
        engine=job.settings.engine.name,
        settings=job.settings.model_dump(mode="json", exclude={"run": True, "score": {"syncnet"}}),  # may hold secrets
        versions=_versions(job),
        tags=run.tags,
        ended=datetime.now(UTC).replace(microsecond=0),
        seconds=round(time.monotonic() - run.began, 3),
        cpu_seconds=_rounded(_cpu_seconds(run)),
        gpu_seconds=_rounded(gpu_seconds),
        price=job.settings.run.price(gpu_seconds),
        peak_rss_mib=peak_rss_mib(run, peaks) or 0,
        peak_gpu_mib=peak_gpu_mib(run, peaks),
        stages=stages,
        work_mib=round(work_mib, 1) or None,
        work_mib_per_minute=round(work_mib / float((end - start) / job.timeline.fps) * 60, 1) or None,
        segments=[
            SegmentReport(
                index=segment.index,
                start=segment.start,
                end=segment.end,
                tasks=tasks[segment.index],
                verdict=run.verdicts.get(segment.index),
            )
            for segment in plan.output_segments
        ],
    )


def _versions(job: Job) -> dict[str, str]:
    """Of what computes; of a network that only measures, the digest of its weights."""
    known = {name: version for name, version in computed_by(*LIBRARIES).items() if version}
    return {**known, "syncnet": job.syncnet.sha256} if job.syncnet else known


def _cpu_seconds(run: Run) -> float | None:
    """Of the flow's process, and of tasks elsewhere; None where one of them has no figure."""
    elsewhere = [took.cpu_seconds for took in _took(run)]
    known = [seconds for seconds in elsewhere if seconds is not None]
    return run.cpu_seconds + sum(known) if len(known) == len(elsewhere) else None


def _gpu_seconds(run: Run) -> float | None:
    held = [item.result.took.gpu_seconds for item in run.submitted.values() if item.result and run.made(item)]
    known = [seconds for seconds in held if seconds is not None]
    return sum(known) if known else None


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 3)


def peak_rss_mib(run: Run, peaks: MemoryPeaks) -> float | None:
    """Largest resident memory of a process tree or worker of the run, so far."""
    return _largest(peaks.rss_mib, [took.peak_rss_mib for took in _took(run)])


def peak_gpu_mib(run: Run, peaks: MemoryPeaks) -> float | None:
    """Largest GPU memory of the same; None without a GPU."""
    return _largest(peaks.gpu_mib, [took.peak_gpu_mib for took in _took(run)])


def _took(run: Run) -> list[Took]:
    """Of tasks in other processes: what this one takes is watched, and the peaks of tasks are its life's."""
    if not run.is_elsewhere:
        return []
    return [item.result.took for item in list(run.submitted.values()) if item.result and run.made(item)]


def _largest(peak: float | None, others: list[int | None]) -> float | None:
    known = [figure for figure in (peak, *others) if figure is not None]
    return round(max(known), 1) if known else None


def written_bytes(run: Run, tasks: Iterable[Submitted]) -> int:
    """Size of the work files that the run has made."""
    return sum(file.size_bytes for item in tasks if run.made(item) for file in run.files_of(item))


def _mib(size_bytes: int | None) -> float | None:
    return round(size_bytes / MIB, 1) if size_bytes else None


def _file(file: Artefact) -> FileReport:
    return FileReport(location=str(file.path), sha256=file.sha256, size_bytes=file.size_bytes)


def _stages(run: Run, peaks: dict[str, float], expected: dict[str, int]) -> dict[str, StageReport]:
    items: dict[str, list[Submitted]] = defaultdict(list)
    for item in run.submitted.values():
        items[item.stage.name].append(item)
    return {
        name: StageReport(
            seconds=round(sum(item.result.took.seconds for item in tasks if item.result and run.made(item)), 3),
            tasks=len(tasks),
            cached=sum(not run.made(item) for item in tasks),
            peak_rss_mib=_largest(peaks.get(name), []),
            expected_mib=_mib(expected.get(name)),
            written_mib=_mib(written_bytes(run, tasks)),
        )
        for name, tasks in items.items()
    }


def _task(run: Run, item: Submitted) -> TaskReport:
    if not item.result or not run.made(item):
        return TaskReport(cached=True)
    figures = {name: figure for name, figure in asdict(item.result.took).items() if name not in ("run", "task")}
    return TaskReport(cached=False, **figures)
