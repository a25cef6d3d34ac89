"""The space that a job takes, by stage."""

from latentsync.engines.registry import is_direct, resolution_px
from latentsync.job import Job
from latentsync.segments.part import span_of
from latentsync.storage.space import Space


def space_of(job: Job) -> Space:
    """A low estimate, from nothing but lengths and sizes."""
    start, end = span_of(job)
    face_pixels = 0 if is_direct(job.settings.engine) else resolution_px(job.settings.engine) ** 2
    return Space.of(end - start, job.video.width_px * job.video.height_px, face_pixels)
