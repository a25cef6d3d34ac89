"""The space that a job takes, by stage."""

from latentsync.engines.registry import is_direct, resolution_px
from latentsync.job import Job
from latentsync.storage.space import Space


def space_of(job: Job) -> Space:
    """A low estimate, from nothing but lengths and sizes."""
    face_pixels = 0 if is_direct(job.settings.engine) else resolution_px(job.settings.engine) ** 2
    return Space.of(job.timeline.frames, job.video.width_px * job.video.height_px, face_pixels)
