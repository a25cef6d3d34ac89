"""Turn what a run's tasks did into the report."""

import time

from latentsync.job import Job, Plan
from latentsync.publishing.report import Report, SegmentReport, StageReport, Stages, TaskReport
from tasks.run import Run

STAGES = ("probe", "voice", "faces", "plan", "generate", "render", "join", "publish")


def make_report(run: Run, job: Job, plan: Plan) -> Report:
    """The contract of ``report.json`` for a run that has come to its end."""
    return Report(
        frames=job.timeline.frames,
        fps=job.timeline.fps,
        width=job.video.width_px,
        height=job.video.height_px,
        engine=job.settings.engine.name,
        seconds=round(time.time() - run.began, 3),
        peak_rss_mib=round(run.memory.peak_rss_mib, 1),
        peak_gpu_mib=_peak_gpu_mib(run),
        stages=Stages(**{stage: StageReport(seconds=_stage_seconds(run, stage)) for stage in STAGES}),
        segments=[
            SegmentReport(
                index=segment.index,
                start=segment.start,
                end=segment.end,
                generate=_task(run, f"generate-{segment.index:03d}"),
                render=_task(run, f"render-{segment.index:03d}"),
            )
            for segment in plan.segments
        ],
    )


def _peak_gpu_mib(run: Run) -> float:
    """Of this process tree, or of any worker that did a task of the run."""
    return max([round(run.memory.peak_gpu_mib, 1), *(step.peak_gpu_mib for step in run.steps().values())])


def _stage_seconds(run: Run, stage: str) -> float:
    names = {"plan": ("track", "plan")}.get(stage, (stage,))
    steps = [step for step in run.steps().values() if step.stage in names and step.ended]
    if not steps:
        return 0.0
    return round(max(step.ended or 0 for step in steps) - min(step.began for step in steps), 3)


def _task(run: Run, name: str) -> TaskReport:
    step = run.steps().get(name)
    if run.submitted[name].cached or step is None:
        return TaskReport(cached=True, seconds=0.0, attempts=0)
    seconds = round((step.ended or time.time()) - step.began, 3)
    return TaskReport(cached=False, seconds=seconds, attempts=step.attempt)
