"""Render the clip of one segment to a file."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from latentsync.engines.registry import resolution_px
from latentsync.job import Job, Plan
from latentsync.media.encode import VideoClipWriter
from latentsync.records import ClipFile, Segment
from latentsync.segments.render import render_frames
from latentsync.segments.source import Source


def render_clip(
    job: Job,
    plan: Plan,
    segment: Segment,
    faces: ClipFile,
    previous: ClipFile | None,
    out: Path,
    on_frame: Callable[[int], None],
) -> None:
    """Write the finished frames ``[segment.start, segment.end)`` to ``out`` in the one lossy encode."""
    source = Source.of(job, plan, resolution_px(job.settings.engine))
    frames = render_frames(source, segment, faces, previous)
    writer = VideoClipWriter(out, job.video, segment.frames, job.settings.encode)
    with closing(frames), writer as clip:
        for done, frame in enumerate(frames, 1):
            clip.write(frame)
            on_frame(done)
