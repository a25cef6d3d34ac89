"""What a face is, and what finds it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

Defect = Literal["too small", "in profile", "cut off", "uncertain"]  # why a face cannot be worked on


@dataclass(frozen=True)
class Face:
    """One face in pixels of the picture it was found in (float32; pixel centres are whole numbers)."""

    box: np.ndarray  # (4,) left, top, right, bottom
    score: float  # 0..1
    points: np.ndarray  # (3, 2) alignment points: left brow, right brow, nose
    mouth: np.ndarray  # (K, 2) in the order of MOUTH_POINTS
    defect: Defect | None = None  # why its landmarks are guesses


@dataclass(frozen=True)
class FaceLimits:
    """Which faces can be worked on: LatentSync's limits, in source pixels."""

    per_frame: int = 4  # kept, the largest ones
    min_score: float = 0.5
    min_width_px: int = 50
    min_height_px: int = 80
    min_aspect: float = 0.2  # width / height
    max_aspect: float = 1.5


LIMITS = FaceLimits()


def defect(face: Face) -> Defect | None:
    """Why a face in source pixels cannot be worked on; None when it can."""
    width, height = face.box[2] - face.box[0], face.box[3] - face.box[1]
    if face.defect:
        return face.defect
    if width < LIMITS.min_width_px or height < LIMITS.min_height_px:
        return "too small"
    is_whole = LIMITS.min_aspect <= width / height <= LIMITS.max_aspect
    return None if face.score >= LIMITS.min_score and is_whole else "uncertain"


class FaceDetector(Protocol):
    """Finds faces in consecutive frames; may use the frames before to be quick and steady."""

    def detect(self, rgb: np.ndarray) -> list[Face]:
        """Faces in a picture (H, W, 3) uint8; ``Face.defect`` tells those whose landmarks cannot be trusted."""
        ...

    def forget(self) -> None:
        """The next picture does not continue the last one."""
        ...


@dataclass(frozen=True)
class DetectorSpec:
    """A detector by its name; making a spec loads nothing."""

    name: str
    load: Callable[[], FaceDetector]  # one of its own for one thread; InputError when files are missing
    is_available: Callable[[], bool] = lambda: True  # on this machine
    long_side_px: int = 960  # of the pictures it is given, at most
    model_files: Callable[[], Sequence[Path]] = tuple  # those that belong to no library
    libraries: tuple[str, ...] = ()  # distributions whose versions may change what it finds
    version: int = 1  # of its code: one more whenever it finds other faces than before
