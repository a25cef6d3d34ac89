"""Generate the face clip of one segment: read, align, engine, lossless clip."""

from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from pathlib import Path

import numpy as np

from latentsync.engines.protocol import ClipContext, Engine, Session
from latentsync.faces.align import align_face
from latentsync.faces.alignment import Alignment
from latentsync.job import Job, Plan
from latentsync.media.decode import read_range
from latentsync.media.encode import FaceClipWriter
from latentsync.records import Artefact, Segment, VideoInfo
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
    source = Source.of(job, plan)
    session = session_of(job, plan, voice, engine)
    faces = generate_faces(source, session, segment.start, segment.clip_end, engine.windows_per_batch)
    frames = segment.clip_end - segment.start
    with closing(faces), FaceClipWriter(out, engine.resolution_px, frames) as clip:
        for done, face in enumerate(faces, 1):
            clip.write(face)
            on_frame(done)


def session_of(job: Job, plan: Plan, voice: Artefact, engine: Engine) -> Session:
    """The engine bound to a job's voice and clip."""
    # A frozen record has a hash, which pyright does not know.
    clip = _clip_of(job.video, plan, engine.resolution_px, job.settings.engine.spec.alignment)  # pyright: ignore[reportArgumentType]
    return engine.session(voice.path, job.timeline.fps, clip)


@lru_cache(maxsize=1)  # that of the last job: engines keep by it what they find out about a clip
def _clip_of(video: VideoInfo, plan: Plan, resolution_px: int, alignment: Alignment) -> ClipContext:
    @lru_cache(maxsize=2)  # every segment asks for the same one
    def read_face(row: int) -> np.ndarray:
        index = plan.mouth_start + row
        with closing(read_range(video, index, index + 1)) as frames:
            face = align_face(next(frames), plan.open_track()[index]["matrix"], resolution_px, alignment)
        face.flags.writeable = False
        return face

    return ClipContext(mouth=plan.open_mouth(), read_face=read_face)
