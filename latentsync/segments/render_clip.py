"""Render the clip of one segment to a file."""

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from latentsync.engines.protocol import Engine
from latentsync.job import Job, Plan
from latentsync.media.encode import VideoClipWriter
from latentsync.media.frames import Frame
from latentsync.media.pixels import layout_of
from latentsync.records import Artefact, ClipFile, Segment
from latentsync.segments.direct import direct_frames
from latentsync.segments.generate import session_of
from latentsync.segments.label import Label
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
    source = Source.of(job, plan)
    _encode(render_frames(source, segment, faces, previous), job, segment, out, on_frame)


def render_directly(
    job: Job,
    plan: Plan,
    segment: Segment,
    voice: Artefact,
    engine: Engine,
    out: Path,
    on_frame: Callable[[int], None],
) -> None:
    """The same of an engine that is ``direct``, whose faces are made on the way."""
    source, session = Source.of(job, plan), session_of(job, plan, voice, engine)
    _encode(direct_frames(source, session, segment.start, segment.end), job, segment, out, on_frame)


def _encode(frames: Generator[Frame], job: Job, segment: Segment, out: Path, on_frame: Callable[[int], None]) -> None:
    writer = VideoClipWriter(out, job.video, segment.frames, job.settings.encode)
    text = job.settings.mark.label
    label = Label(text, layout_of(job.video)) if text else None
    with closing(frames), writer as clip:
        for done, frame in enumerate(frames, 1):
            clip.write(label.on(frame) if label else frame)
            on_frame(done)
