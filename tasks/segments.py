"""The mapped stages of a segment: generate faces (expensive, GPU), render and score (cheap, CPU)."""

import hashlib
from pathlib import Path

from latentsync.engines.registry import engine_identity, engine_on_gpu, sees_whole_clip, voice_rows
from latentsync.job import Job, Plan
from latentsync.records import Artefact, ClipFile, Segment
from latentsync.segments.generate import generate_clip
from latentsync.segments.render_clip import render_clip, render_directly
from latentsync.segments.score import score_clip
from latentsync.segments.silence import speaking
from latentsync.segments.syncnet.stretch import heard_samples, measured_frames
from latentsync.segments.verdict import Score
from latentsync.segments.windows import touching
from tasks.keys import computed_by, frames_part, track_part, video_part
from tasks.prepare import engine_resource
from tasks.progress import Progress
from tasks.stages import file_stage, stage
from tasks.work import Work


def generate_key(job: Job, plan: Plan, voice: Artefact, segment: Segment) -> list[object]:
    """The frames and windows of the segment and its overlap, and what makes their faces."""
    return _made_of(job, plan, voice, segment.start, segment.clip_end)


def _made_of(job: Job, plan: Plan, voice: Artefact, start: int, end: int) -> list[object]:
    """What the faces of ``[start, end)`` depend on: of the voice only the rows that their windows hear."""
    windows = plan.window_grid[touching(plan.window_grid, start, end)]
    heard = voice_rows(job.settings.engine, voice.path, job.timeline.fps, windows)
    return [
        video_part(job.video),
        track_part(job, plan, int(windows[0, 0]), int(windows[-1, 1])) if len(windows) else "",
        plan.mouth.sha256 if sees_whole_clip(job.settings.engine) else "",
        frames_part(job, start, end),
        windows.tolist(),
        [start, end],
        hashlib.sha256(heard).hexdigest(),
        engine_identity(job.settings.engine),
        computed_by("numpy", "opencv-contrib-python"),
    ]


@file_stage("generate-{segment.index:03d}", generate_key, ".mkv", resource=engine_resource)
def generate(out: Path, progress: Progress, job: Job, plan: Plan, voice: Artefact, segment: Segment) -> None:
    """New faces of one segment and its overlap, as a lossless clip. Raises ``TransientError`` without GPU memory."""
    with engine_on_gpu(job.settings, lambda: progress.note("waits for a GPU")) as engine:
        progress.note("")
        generate_clip(job, plan, voice, segment, engine, out, progress.frames)


def render_key(
    job: Job,
    plan: Plan,
    segment: Segment,
    faces: Artefact | None = None,
    before: Segment | None = None,
    earlier: Artefact | None = None,
    voice: Artefact | None = None,
) -> list[object]:
    """Frames, face clips and the encoder: no engine setting is in it, unless the faces are made here."""
    clips: object = [faces and faces.sha256, earlier and earlier.sha256]
    label = job.settings.mark.label
    return [
        video_part(job.video),
        track_part(job, plan, segment.start, segment.end),
        plan.open_opacity()[segment.start : segment.end].tolist(),
        frames_part(job, segment.start, segment.end),
        [segment.start, segment.end],
        _made_of(job, plan, voice, segment.start, segment.end) if voice else clips,
        job.settings.encode.model_dump(mode="json"),
        computed_by("numpy", "opencv-contrib-python"),
        *([{"label": label}] if label else []),  # renders made before there were labels are found
    ]


@file_stage("render-{segment.index:03d}", render_key, ".mp4")
def render(
    out: Path,
    progress: Progress,
    job: Job,
    plan: Plan,
    segment: Segment,
    faces: Artefact | None = None,
    before: Segment | None = None,
    earlier: Artefact | None = None,
    voice: Artefact | None = None,
) -> None:
    """The finished frames of one segment: crossfade with the faces of the segment before, paste, encode once.

    Of an engine that is ``direct`` there are no faces yet but a ``voice``: they are made on the way. Raises
    ``TransientError`` when ffmpeg is killed or the disk is full.
    """
    if voice:
        with engine_on_gpu(job.settings, lambda: None) as engine:
            render_directly(job, plan, segment, voice, engine, out, progress.frames)
        return
    assert faces
    clip, previous = _clip(faces, segment), _clip(earlier, before) if earlier and before else None
    render_clip(job, plan, segment, clip, previous, out, progress.frames)


def score_key(
    job: Job, plan: Plan, segment: Segment, rendered: Artefact, sound: Artefact | None = None
) -> list[object]:
    """The rendered clip, the source's frames and faces there, and the voice as far as it is heard there."""
    here = slice(segment.start, segment.end)
    arrays = (plan.open_opacity()[here], plan.open_loudness()[here], speaking(plan)[here])
    return [
        video_part(job.video),
        track_part(job, plan, segment.start, segment.end),
        frames_part(job, segment.start, segment.end),
        [segment.start, segment.end, rendered.sha256],
        [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays],
        computed_by("numpy", "scipy", "opencv-contrib-python", "mediapipe"),
        *_seen_by_syncnet(job, plan, segment, sound),
    ]


def _seen_by_syncnet(job: Job, plan: Plan, segment: Segment, sound: Artefact | None) -> list[object]:
    """The weights and what they hear; nothing without them, so that scores made before there were any are found."""
    if not job.syncnet or not sound:
        return []
    samples = heard_samples(job, measured_frames(job, plan, segment), sound)
    return [job.syncnet.sha256, hashlib.sha256(samples.tobytes()).hexdigest(), computed_by("torch")]


@stage("score-{segment.index:03d}", score_key, version=2)
def score(
    work: Work, job: Job, plan: Plan, segment: Segment, rendered: Artefact, sound: Artefact | None = None
) -> Score:
    """How good the finished frames of one segment are. Raises as ``score_clip`` does."""
    return score_clip(job, plan, segment, rendered, work.progress.frames, sound)


def _clip(faces: Artefact, segment: Segment) -> ClipFile:
    return ClipFile(file=faces, start=segment.start, end=segment.clip_end)
