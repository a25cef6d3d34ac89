"""Parts of content keys that several stages share.

A key holds the digests of what is read, the frame range, every setting that can change a pixel or a sample
and the versions of the libraries that compute it. What is in no key must not change a result.
"""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from latentsync.faces.alignment import LATENTSYNC_ALIGNMENT, Alignment
from latentsync.job import Job, Plan
from latentsync.media.ffmpeg import ffmpeg_version
from latentsync.records import AudioInfo, VideoInfo, file_sha256
from latentsync.versions import versions


def video_part(video: VideoInfo) -> dict[str, object]:
    """The video's content and how it is decoded, wherever it lies."""
    return {"sha256": video.file.sha256, **video.model_dump(mode="json", exclude={"file"})}


def sound_part(sound: AudioInfo) -> dict[str, object]:
    """The sound's content and how it is decoded, wherever it lies."""
    return {"sha256": sound.file.sha256, **sound.model_dump(mode="json", exclude={"file"})}


def track_part(job: Job, plan: Plan, start: int, end: int) -> str:
    """Digest of what the track says of output frames ``[start, end)``; its end differs from voice to voice.

    The number of their scene counts those before it, and changes no picture.
    """
    track = plan.open_track()
    indices = np.minimum(job.timeline.source_indices(start, end), len(track) - 1)
    rows = track[indices]
    rows["shot"] = 0
    return hashlib.sha256(rows.tobytes()).hexdigest()


def alignment_part(alignment: Alignment) -> list[object]:
    """Where faces shall lie; nothing for LatentSync's way, so that tracks made before there was another are found."""
    return [] if alignment.points == LATENTSYNC_ALIGNMENT.points else [alignment.points]


def frames_part(job: Job, start: int, end: int) -> str:
    """Digest of the source frames that output frames ``[start, end)`` show."""
    indices = job.timeline.source_indices(start, end)
    return hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()


@cache
def computed_by(*distributions: str) -> dict[str, str]:
    """Versions of ffmpeg and of these distributions: another one may compute something else."""
    return {"ffmpeg": ffmpeg_version(), **versions(distributions)}


def file_name_part(location: str) -> str:
    """The suffix of a destination, which says what kind of file it is."""
    return Path(location).suffix


def mark_part(job: Job) -> list[object]:
    """What is written of the origin, and who signs it; a signed manifest names the output too."""
    mark = job.settings.mark
    signer = mark.certificate and [file_sha256(mark.certificate), Path(job.output).name]
    return [mark.model_dump(mode="json", exclude={"certificate", "key", "required", "label"}), signer]
