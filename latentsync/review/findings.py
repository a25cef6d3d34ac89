"""What a person wants to see of a finished job beside its figures: voice, mouth, and the faces that were chosen."""

import base64
from pathlib import Path

import cv2
import numpy as np

from latentsync.job import Job, Plan
from latentsync.media.loudness import FLOOR_DB
from latentsync.records import Record
from latentsync.review.crops import face_picture
from latentsync.review.files import FINDINGS

POINTS_MAX = 1500  # of a curve: about the pixels that show it
FACES_MAX = 8
FACE_PX = 112  # height of a picture


class ChosenFace(Record):
    """The face of one scene, the first time it is seen."""

    frame: int
    frames: int  # of the scene
    picture: str  # data: URI


class Findings(Record):
    """Curves have at most ``POINTS_MAX`` values in 0..1, evenly over all frames; None: unknown."""

    loudness: list[float | None]
    opening: list[float | None]  # of the result's mouth, where it was measured
    opening_share: float  # of the frames, from the first one, in which it was
    faces: list[ChosenFace]


def find(job: Job, plan: Plan, loudness_db: np.ndarray, opening: np.ndarray) -> Findings:
    """From the voice's level (N,) and the result's mouth (M,), NaN without a face, both by frame of the output."""
    frames = plan.span[1] - plan.span[0]
    level = np.full(frames, np.nan)
    level[: len(loudness_db)] = (loudness_db - FLOOR_DB) / -FLOOR_DB
    mouth = np.full(frames, np.nan)
    largest = np.nanmax(opening, initial=0.0)
    mouth[: len(opening)] = opening / largest if largest else np.nan
    return Findings(
        loudness=_curve(level),
        opening=_curve(mouth),
        opening_share=min(len(opening) / frames, 1.0),
        faces=_faces(job, plan),
    )


def _curve(values: np.ndarray) -> list[float | None]:
    """The largest value of each of at most ``POINTS_MAX`` equal parts."""
    parts = np.array_split(values, min(len(values), POINTS_MAX))
    known = (part[np.isfinite(part)] for part in parts)
    return [round(float(part.max()), 3) if len(part) else None for part in known]


def _faces(job: Job, plan: Plan) -> list[ChosenFace]:
    """The longest scenes, in the order of time."""
    track = plan.open_track()
    start, end = plan.span
    heard = job.timeline.source_indices(start, max(min(end, job.timeline.voice_frames), start + 1))
    rows = np.minimum(heard, len(track) - 1)
    scene = np.where(track["face"][rows], track["shot"][rows], -1)
    names, first, counts = np.unique(scene, return_index=True, return_counts=True)
    seen = [(int(at), int(count)) for name, at, count in zip(names, first, counts, strict=True) if name >= 0]
    longest = sorted(sorted(seen, key=lambda pair: -pair[1])[:FACES_MAX])
    return [
        ChosenFace(
            frame=frame, frames=count, picture=_uri(face_picture(job.video, int(rows[frame]), track[rows[frame]]))
        )
        for frame, count in longest
    ]


def _uri(rgb: np.ndarray) -> str:
    size = (max(1, round(FACE_PX * rgb.shape[1] / rgb.shape[0])), FACE_PX)
    small = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    return f"data:image/jpeg;base64,{base64.b64encode(cv2.imencode('.jpg', small)[1].tobytes()).decode()}"


def read_findings(folder: Path) -> Findings:
    """Those that a job left in its report folder."""
    return Findings.model_validate_json((folder / FINDINGS).read_bytes())
