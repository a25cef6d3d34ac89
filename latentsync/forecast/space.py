"""The space that a job takes, by stage."""

from latentsync.engines.registry import resolution_px
from latentsync.job import Job
from latentsync.storage.space import Space


def space_of(job: Job) -> Space:
    """A low estimate, from nothing but lengths and sizes."""
    return Space.of(
        job.timeline.frames, job.video.width_px * job.video.height_px, resolution_px(job.settings.engine) ** 2
    )
