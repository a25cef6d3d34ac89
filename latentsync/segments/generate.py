"""Generate the face clip of one segment: read, align, engine, lossless clip."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from latentsync.engines.protocol import ClipContext, Engine, Session
from latentsync.faces.align import align_face
from latentsync.job import Job, Plan
from latentsync.media.decode import read_range
from latentsync.media.encode import FaceClipWriter
from latentsync.records import Artefact, Segment
from latentsync.segments.faces import generate_faces
from latentsync.segments.source import Source


def generate_clip(
    job: Job,
    plan: Plan,
    voice: Artefact,
    segment: Segment,
    engine: Engine,
    out: Path,
    on_frame: Callable[[int], None],
) -> None:
    """Write the faces of ``[segment.start, segment.clip_end)`` to ``out``, losslessly.

    ``on_frame`` hears the number of frames done. Raises ``InternalError`` when a count is off.
    """
    source = Source.of(job, plan, engine.resolution_px)
    session = _session(job, plan, voice, engine, source.track)
    faces = generate_faces(source, session, segment.start, segment.clip_end, engine.windows_per_batch)
    frames = segment.clip_end - segment.start
    with closing(faces), FaceClipWriter(out, engine.resolution_px, frames) as clip:
        for done, face in enumerate(faces, 1):
            clip.write(face)
            on_frame(done)


def _session(job: Job, plan: Plan, voice: Artefact, engine: Engine, track: np.ndarray) -> Session:
    def read_face(index: int) -> np.ndarray:
        with closing(read_range(job.video, index, index + 1)) as frames:
            return align_face(next(frames), track[index]["matrix"], engine.resolution_px)

    clip = ClipContext(mouth=plan.open_mouth(), read_face=read_face)
    return engine.session(voice.path, job.timeline.fps, clip)
