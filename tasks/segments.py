"""The two mapped stages: generate faces (dear, GPU) and render (cheap, CPU)."""

from collections.abc import Callable
from pathlib import Path

from latentsync.engines.registry import engine_on_gpu
from latentsync.job import Job, Plan, Work
from latentsync.records import Artefact, Segment
from latentsync.segments.generate import generate_clip
from latentsync.segments.render_clip import render_clip
from tasks import keys
from tasks.making import make_clip
from tasks.policy import step
from tasks.steps import note


@step("generate-{segment.index:03d}", keys.generate_key)
def generate(job: Job, plan: Plan, voice: Artefact, segment: Segment) -> Work:
    """New faces of one segment and its overlap, as a lossless clip."""
    key = keys.generate_key(job, plan, voice, segment)

    def make(out: Path, count: Callable[[int], None]) -> None:
        with engine_on_gpu(job.settings, lambda: note("waits for a GPU")) as engine:
            note("")
            generate_clip(job, plan, voice, segment, engine, out, count)

    return make_clip(job, f"{key}.mkv", segment.start, segment.clip_end, make)


@step("render-{segment.index:03d}", keys.render_key)
def render(job: Job, plan: Plan, segment: Segment, faces: Work, previous: Work | None) -> Work:
    """The finished frames of one segment: crossfade, paste, encode once."""
    key = keys.render_key(job, plan, segment, faces, previous)
    before = previous.clip if previous else None
    return make_clip(
        job, f"{key}.mp4", segment.start, segment.end,
        lambda out, count: render_clip(job, plan, segment, faces.clip, before, out, count),
    )  # fmt: skip
