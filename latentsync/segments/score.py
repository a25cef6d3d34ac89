"""How good a rendered segment is, measured on its finished frames; on the CPU."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

import numpy as np

from latentsync.faces.detectors.registry import load_detector
from latentsync.job import Job, Plan
from latentsync.media.decode import read_range
from latentsync.media.frames import Frame
from latentsync.records import Artefact, Segment, VideoInfo
from latentsync.segments.lips import LIPS, Lips, looked_at, watch_lips
from latentsync.segments.silence import MARGIN_SECONDS, speaking
from latentsync.segments.source import Source
from latentsync.segments.sync import lip_leak, sync
from latentsync.segments.texture import Texture
from latentsync.segments.verdict import Score


def score_clip(
    job: Job,
    plan: Plan,
    segment: Segment,
    clip: Artefact,
    on_frame: Callable[[int], None],
    sound: Artefact | None = None,
) -> Score:
    """Measure the rendered ``clip`` of frames ``[segment.start, segment.end)``; LSE with the ``sound``, a 16 kHz WAV.

    Raises InputError or InternalError when the clip cannot be read.
    """
    source, video = Source.of(job, plan), rendered_video(job, segment, clip)
    first, last = plan.open_compared()[segment.index].tolist()
    looked = looked_at(segment.frames)
    lips, texture = look_at_clip(source, video, segment, job.timeline.voice_frames, on_frame, (first, last), looked)
    pasted = (source.opacity[segment.start : segment.end] > 0) & looked
    offset, correlation, leak = _heard(job, plan, segment, lips.opening)
    distance, confidence = _lse(job, plan, segment, source, video, sound)
    return Score(
        offset_frames=offset,
        correlation=_short(correlation),
        lip_leak=_short(leak),
        seam=_short(texture.seam),
        sharpness=_short(texture.sharpness),
        flicker=_short(texture.flicker),
        jitter=_short(jitter(lips.points[pasted])),
        face_share=_short(float(lips.seen[pasted].mean()) if pasted.any() else None),
        lse_d=_short(distance),
        lse_c=_short(confidence),
    )


def look_at_clip(
    source: Source,
    video: VideoInfo,
    segment: Segment,
    voice_frames: int,
    on_frame: Callable[[int], None],
    compared: tuple[int, int],
    looked: np.ndarray,
) -> tuple[Lips, Texture]:
    """The lips of frames with a voice that are in ``looked`` (bool), and the texture of those in ``compared``."""
    size = source.resolution_px
    texture = Texture(size)
    originals = _originals(source, segment, compared, texture)
    with closing(read_range(video, 0, segment.frames)) as frames:
        seen = _counted(_compared(frames, originals, source, segment, texture), on_frame)
        lips = watch_lips(seen, _matrices(source, segment, voice_frames), looked, size, load_detector("mediapipe"))
    return lips, texture


def jitter(points: np.ndarray) -> float | None:
    """Mean second difference of points (N, K, 2) in per mille; None without three frames in a row."""
    trembling = np.linalg.norm(np.diff(points, n=2, axis=0), axis=-1)
    known = trembling[np.isfinite(trembling)]
    return 1000 * float(known.mean()) if known.size else None


def rendered_video(job: Job, segment: Segment, clip: Artefact) -> VideoInfo:
    """The clip, which was counted when it was written, in the source's size and colours."""
    fps = job.timeline.fps
    how = {"stream": 0, "fps": fps, "source_fps": fps, "rotation_degrees": 0, "sequential": False}
    return job.video.model_copy(update={"file": clip, "frames": segment.frames, **how})


def _heard(
    job: Job, plan: Plan, segment: Segment, opening: np.ndarray
) -> tuple[int | None, float | None, float | None]:
    """Offset, correlation and LipLeak; the frames after the voice are not looked at."""
    here, margin = slice(segment.start, segment.end), round(MARGIN_SECONDS * job.timeline.fps)
    heard, spoken = plan.open_loudness()[here], speaking(plan)[here]
    opening = opening[: len(heard)]
    offset, correlation = sync(heard, spoken, opening) or (None, None)
    return offset, correlation, lip_leak(spoken, opening, margin)


def _lse(
    job: Job, plan: Plan, segment: Segment, source: Source, video: VideoInfo, sound: Artefact | None
) -> tuple[float | None, float | None]:
    if not job.syncnet or not sound:
        return None, None
    from latentsync.segments.syncnet.clip import clip_lse  # torch, slow to import

    return clip_lse(job, plan, segment, source, video, job.syncnet, sound)


def _matrices(source: Source, segment: Segment, voice_frames: int) -> np.ndarray:
    """(N, 2, 3): where each frame's face is; 0 where none was found or, after the voice, looked for."""
    matrices = source.rows(segment.start, segment.end)["matrix"].copy()
    matrices[max(voice_frames - segment.start, 0) :] = 0
    return matrices


def _originals(source: Source, segment: Segment, compared: tuple[int, int], texture: Texture) -> dict[int, np.ndarray]:
    """The source's faces of the range ``compared``, by frame of the segment.

    They are read before the clip is, for two decoders at a time take more memory.
    """
    start, end = (segment.start + frame for frame in compared)
    with closing(source.read_frames(start, end)) as frames:
        faces = (texture.face(frame, row["matrix"]) for frame, row in zip(frames, source.rows(start, end), strict=True))
        return dict(enumerate(faces, compared[0]))


def _compared(
    frames: Iterator[Frame],
    originals: dict[int, np.ndarray],
    source: Source,
    segment: Segment,
    texture: Texture,
) -> Generator[Frame]:
    """Pass the frames on; those of ``originals`` are compared with these."""
    rows = source.rows(segment.start, segment.end)
    for index, frame in enumerate(frames):
        if index in originals:
            texture.add(originals[index], frame, rows[index]["matrix"], rows[index]["mouth"][:LIPS])
        yield frame


def _counted(frames: Iterator[Frame], on_frame: Callable[[int], None]) -> Generator[Frame]:
    for done, frame in enumerate(frames, 1):
        yield frame
        on_frame(done)


def _short(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 3)
