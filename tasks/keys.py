"""Content keys: equal keys mean equal work, whatever the path, the run or the machine.

A key holds the task's name, the code of the rooms it uses, the digests of what it reads, its frame
range and the settings that change its result, and no others.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

import latentsync
from latentsync.engines.registry import engine_identity, resolution_px, sees_whole_clip, voice_identity, voice_rows
from latentsync.faces.detectors.registry import detector_identity
from latentsync.job import Job, Plan, Work
from latentsync.records import Artefact, Segment, VideoInfo, file_sha256

_VOICE = ("engines",)
_FACES = ("faces", "media")
_GENERATE = ("engines", "segments", *_FACES)
_RENDER = ("stitching", "segments", *_FACES)


def voice_key(job: Job) -> str:
    """Key of the voice features."""
    samples = {"audio": job.audio.file.sha256, "rate": job.audio.sample_rate_hz}
    timeline = {"frames": job.timeline.voice_frames, "fps": str(job.timeline.fps)}
    return _key("voice", _VOICE, samples, timeline, voice_identity(job.settings.engine))


def faces_key(job: Job, index: int, start: int, stop: int) -> str:
    """Key of the detections in source frames ``[start, stop)``."""
    return _key("find-faces", _FACES, _video(job.video), [start, stop], detector_identity(job.settings.faces.detector))


def track_key(job: Job, chunks: Iterable[Artefact]) -> str:
    """Key of the face track."""
    digests = [chunk.sha256 for chunk in chunks]
    size = resolution_px(job.settings.engine)
    return _key("track", _FACES, _video(job.video), digests, job.settings.faces.choice, size)


def plan_key(job: Job, track: Artefact) -> str:
    """Key of the window grid and the aligned mouths."""
    return _key("plan", _GENERATE, track.sha256, job.timeline.model_dump(mode="json"))


def generate_key(job: Job, plan: Plan, voice: Artefact, segment: Segment) -> str:
    """Key of a face clip: of the voice, only the rows that its windows hear."""
    windows = _windows(plan, segment.start, segment.clip_end)
    heard = voice_rows(job.settings.engine, voice.path, job.timeline.fps, windows)
    return _key(
        "generate",
        _GENERATE,
        _video(job.video),
        _track_rows(job, plan, int(windows[0, 0]), int(windows[-1, 1])) if len(windows) else "",
        plan.mouth.sha256 if sees_whole_clip(job.settings.engine) else "",
        _source_frames(job, segment.start, segment.clip_end),
        windows.tolist(),
        [segment.start, segment.clip_end],
        hashlib.sha256(heard).hexdigest(),
        engine_identity(job.settings.engine),
    )


def render_key(job: Job, plan: Plan, segment: Segment, faces: Work, previous: Work | None) -> str:
    """Key of a rendered segment: made from face clips, so no engine setting is in it."""
    windows = _windows(plan, segment.start, segment.end)
    return _key(
        "render",
        _RENDER,
        _video(job.video),
        _track_rows(job, plan, segment.start, segment.end),
        windows.tolist(),
        _source_frames(job, segment.start, segment.end),
        [segment.start, segment.end],
        [faces.clip.file.sha256, previous and previous.clip.file.sha256],
        job.settings.encode.model_dump(),
    )


def join_key(job: Job, renders: Iterable[Work]) -> str:
    """Key of the joined file with its sound."""
    digests = [render.clip.file.sha256 for render in renders]
    sounds = [sound and sound.file.sha256 for sound in (job.audio, job.original_sound)]
    timeline = job.timeline.model_dump(mode="json")
    return _key("join", _RENDER, digests, sounds, timeline, Path(job.output).suffix, _mark(job))


def _key(task: str, rooms: Iterable[str], *parts: object) -> str:
    text = json.dumps([task, code_digest(tuple(rooms)), *parts], sort_keys=True, default=str)
    return f"{task}-{hashlib.sha256(text.encode()).hexdigest()}"


@cache
def code_digest(rooms: tuple[str, ...]) -> str:
    """Digest of the source code in these rooms of the library."""
    root = Path(latentsync.__file__).parent
    digest = hashlib.sha256()
    for room in sorted({"records.py", *rooms}):
        files = [root / room] if "." in room else (root / room).rglob("*")
        for file in sorted(file for file in files if file.suffix in (".py", ".txt")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _video(video: VideoInfo) -> dict:
    return {"sha256": video.file.sha256, **video.model_dump(mode="json", exclude={"file"})}


def _windows(plan: Plan, start: int, end: int) -> np.ndarray:
    """The (W, 2) windows that touch output frames ``[start, end)``."""
    windows = plan.window_grid
    return windows[(windows[:, 1] > start) & (windows[:, 0] < end)]


def _track_rows(job: Job, plan: Plan, start: int, end: int) -> str:
    """Digest of what the track says of output frames ``[start, end)``; its end differs from voice to voice."""
    track = plan.open_track()
    indices = np.minimum(job.timeline.source_indices(start, end), len(track) - 1)
    return hashlib.sha256(track[indices].tobytes()).hexdigest()


def _source_frames(job: Job, start: int, end: int) -> str:
    indices = job.timeline.source_indices(start, end)
    return hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()


def _mark(job: Job) -> object:
    """What is written of the origin; a signed manifest names the output too."""
    mark = job.settings.mark
    signer = mark.certificate and [file_sha256(mark.certificate), Path(job.output).name]
    return [mark.model_dump(mode="json", exclude={"certificate", "key", "required"}), signer]
