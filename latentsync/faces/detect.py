"""Faces in single frames: detectors behind one small protocol, and their results per chunk on disk."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from latentsync.faces.points import MOUTH_POINTS
from latentsync.faces.shots import MIN_CHANGE, SIGNATURE_SIZE, changes, signature

MAX_FACES = 4  # kept per frame, the largest ones
MIN_SCORE, MIN_WIDTH_PX, MIN_HEIGHT_PX = 0.5, 50, 80  # LatentSync's limits, in source pixels
MIN_ASPECT, MAX_ASPECT = 0.2, 1.5  # width / height

FACE_DTYPE = np.dtype(
    [
        ("box", np.float32, 4),  # left, top, right, bottom
        ("score", np.float32),
        ("points", np.float32, (3, 2)),  # left brow, right brow, nose
        ("mouth", np.float32, (len(MOUTH_POINTS), 2)),
    ]
)
# One row per source frame of a chunk; the first ``count`` of ``faces`` hold something.
DETECTION_DTYPE = np.dtype(
    [
        ("count", np.uint8),
        ("faces", FACE_DTYPE, MAX_FACES),
        ("centre", np.float32, 2),  # of the picture, source pixels
        ("signature", np.uint8, (SIGNATURE_SIZE, SIGNATURE_SIZE)),
    ]
)

DetectorName = Literal["auto", "mediapipe", "insightface"]
Defect = Literal["too small", "in profile", "cut off", "uncertain"]  # why a face cannot be worked on


@dataclass(frozen=True)
class Face:
    """One face in pixels of the picture it was found in (float32; pixel centres are whole numbers)."""

    box: np.ndarray  # (4,) left, top, right, bottom
    score: float  # 0..1
    points: np.ndarray  # (3, 2) alignment points: left brow, right brow, nose
    mouth: np.ndarray  # (K, 2) in the order of MOUTH_POINTS
    defect: Defect | None = None  # why its landmarks are guesses


class FaceDetector(Protocol):
    """Finds faces in consecutive frames; may use the frames before to be quick and steady."""

    def detect(self, rgb: np.ndarray) -> list[Face]:
        """Faces in a picture (H, W, 3) uint8; ``Face.defect`` tells those whose landmarks cannot be trusted."""
        ...

    def forget(self) -> None:
        """The next picture does not continue the last one."""
        ...


def detector_name(name: DetectorName) -> DetectorName:
    """What ``auto`` means on this machine: InsightFace when its files are there."""
    from latentsync.faces.insightface import is_available

    return ("insightface" if is_available() else "mediapipe") if name == "auto" else name


def load_detector(name: DetectorName = "auto") -> FaceDetector:
    """A detector of its own for one thread; ``auto`` as ``detector_name`` says.

    Raises InputError when InsightFace is asked for and its package or models are missing.
    """
    from latentsync.faces.insightface import InsightfaceDetector
    from latentsync.faces.mediapipe import MediapipeDetector

    if detector_name(name) == "insightface":
        return InsightfaceDetector()
    return MediapipeDetector()


def find_faces(
    frames: Iterable[np.ndarray],
    scale: float,
    detector: FaceDetector,
    out: Path,
    on_frame: Callable[[int], None] = lambda done: None,
) -> int:
    """Write the faces of a chunk's frames to ``out`` (.npy of DETECTION_DTYPE); return their number.

    ``frames`` are (h, w, 3) uint8 RGB, reduced by ``scale`` (reduced size / source size); faces are
    written in source pixels. The result depends on nothing but these frames. ``on_frame`` hears the
    number of frames done.
    """
    detector.forget()
    rows = []
    for done, rgb in enumerate(frames, 1):
        row = np.zeros((), DETECTION_DTYPE)
        row["signature"] = signature(rgb)
        row["centre"] = np.array(rgb.shape[1::-1]) / scale / 2
        if rows and changes(np.stack([rows[-1]["signature"], row["signature"]]))[1] >= MIN_CHANGE:
            detector.forget()
        _fill(row, [_to_source(face, scale) for face in detector.detect(rgb)])
        rows.append(row)
        on_frame(done)
    with open(out, "wb") as file:  # by name, numpy would change a suffix it does not know
        np.save(file, np.array(rows, DETECTION_DTYPE))
    return len(rows)


def defect(face: Face) -> Defect | None:
    """Why a face in source pixels cannot be worked on; None when it can."""
    width, height = face.box[2] - face.box[0], face.box[3] - face.box[1]
    if face.defect:
        return face.defect
    if width < MIN_WIDTH_PX or height < MIN_HEIGHT_PX:
        return "too small"
    return None if face.score >= MIN_SCORE and MIN_ASPECT <= width / height <= MAX_ASPECT else "uncertain"


def _to_source(face: Face, scale: float) -> Face:
    def up(points: np.ndarray) -> np.ndarray:
        return ((points + 0.5) / scale - 0.5).astype(np.float32)

    return replace(face, box=up(face.box), points=up(face.points), mouth=up(face.mouth))


def _fill(row: np.ndarray, faces: list[Face]) -> None:
    usable = [face for face in faces if defect(face) is None]
    usable = sorted(usable, key=lambda face: face.box[0] - face.box[2])[:MAX_FACES]
    row["count"] = len(usable)
    for index, face in enumerate(usable):
        row["faces"][index] = (face.box, face.score, face.points, face.mouth)
