"""The faces of a chunk of frames, on disk."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from latentsync.faces.face import LIMITS, Face, FaceDetector, defect
from latentsync.faces.points import MOUTH_POINTS
from latentsync.faces.shots import MIN_CHANGE, SIGNATURE_SIZE, changes, signature

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
        ("faces", FACE_DTYPE, LIMITS.per_frame),
        ("centre", np.float32, 2),  # of the picture, source pixels
        ("signature", np.uint8, (SIGNATURE_SIZE, SIGNATURE_SIZE)),
    ]
)


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


def _to_source(face: Face, scale: float) -> Face:
    def up(points: np.ndarray) -> np.ndarray:
        return ((points + 0.5) / scale - 0.5).astype(np.float32)

    return replace(face, box=up(face.box), points=up(face.points), mouth=up(face.mouth))


def _fill(row: np.ndarray, faces: list[Face]) -> None:
    usable = [face for face in faces if defect(face) is None]
    usable = sorted(usable, key=lambda face: face.box[0] - face.box[2])[: LIMITS.per_frame]
    row["count"] = len(usable)
    for index, face in enumerate(usable):
        row["faces"][index] = (face.box, face.score, face.points, face.mouth)
