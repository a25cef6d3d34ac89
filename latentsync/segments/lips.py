"""The lips of finished frames, seen again by a detector in a small, steady view of the face."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from latentsync.faces.align import crop_size
from latentsync.faces.face import FaceDetector
from latentsync.faces.points import LIPS_INNER, LIPS_OUTER
from latentsync.media.frames import Frame

VIEW_PX = 320  # side of the view: the mesh looks at 192 px of face
FACE_SHARE = 0.6  # height of the aligned crop in the view; detectors want to see more than a face
PIECE_FRAMES = 32  # of long clips, every other such piece is looked at: the figures stay, at half the price
SHORT_FRAMES = 128  # a clip of which all frames are looked at
LIPS = len(LIPS_OUTER + LIPS_INNER)  # the first of MOUTH_POINTS
# Opposite points of the inner lips, in the middle of the mouth: (lower, upper) in MOUTH_POINTS.
GAPS = np.array([(len(LIPS_OUTER) + k, len(LIPS_OUTER) + len(LIPS_INNER) - k) for k in (4, 5, 6)])


@dataclass(frozen=True)
class Lips:
    """Per frame, in heights of the aligned crop; NaN where no face was found or looked for."""

    opening: np.ndarray  # (N,) gap between the inner lips
    points: np.ndarray  # (N, 40, 2) outer and inner lips, in the order of MOUTH_POINTS

    @property
    def seen(self) -> np.ndarray:
        """(N,) bool: frames in which a face was found."""
        return np.isfinite(self.opening)


def looked_at(frames: int) -> np.ndarray:
    """(frames,) bool: the frames of a clip in which lips are looked for."""
    return (np.arange(frames) // PIECE_FRAMES % 2 == 0) | (frames <= SHORT_FRAMES)


def watch_lips(
    frames: Iterable[Frame], matrices: np.ndarray, looked: np.ndarray, resolution: int, detector: FaceDetector
) -> Lips:
    """Find the lips in consecutive frames; ``matrices`` (N, 2, 3) say where each frame's face is.

    Only frames in ``looked`` (N,) bool whose matrix is not 0 are looked at.
    """
    unit = FACE_SHARE * VIEW_PX
    opening = np.full(len(matrices), np.nan)
    points = np.full((len(matrices), LIPS, 2), np.nan)
    detector.forget()
    for index, (frame, matrix) in enumerate(zip(frames, matrices, strict=True)):
        if not matrix.any():
            detector.forget()
        if not (looked[index] and matrix.any()):
            continue
        for face in detector.detect(face_view(frame, view_matrix(matrix, resolution)))[:1]:
            gaps = face.mouth[GAPS[:, 0]] - face.mouth[GAPS[:, 1]]
            opening[index] = np.linalg.norm(gaps, axis=1).mean() / unit
            points[index] = face.mouth[:LIPS] / unit
    return Lips(opening, points)


def view_matrix(matrix: np.ndarray, resolution: int) -> np.ndarray:
    """Source pixels -> view, from ``matrix``, which maps them to the crop: (2, 3)."""
    size = np.array(crop_size(resolution))
    scale = FACE_SHARE * VIEW_PX / size[1]
    view = scale * matrix
    view[:, 2] += VIEW_PX / 2 - scale * size / 2
    return view


def face_view(frame: Frame, matrix: np.ndarray) -> np.ndarray:
    """The grey view (VIEW_PX, VIEW_PX, 3) uint8 at ``matrix``; large faces are averaged, not sampled."""
    corners = np.array([[0, 0], [VIEW_PX, 0], [0, VIEW_PX], [VIEW_PX, VIEW_PX]], float)
    corners = cv2.transform(corners[None], cv2.invertAffineTransform(matrix))[0]
    height, width = frame.y.shape
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, (width - 1, height - 1))
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, (left + 1, top + 1), (width, height))
    part = cv2.convertScaleAbs(frame.y[top:bottom, left:right], alpha=2.0 ** (8 - frame.layout.bit_depth))
    step = max(1, int(1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))))
    small = cv2.resize(part, (-(-(right - left) // step), -(-(bottom - top) // step)), interpolation=cv2.INTER_AREA)
    steps = np.array([(right - left) / small.shape[1], (bottom - top) / small.shape[0]])
    shift = matrix[:, :2] @ ((left, top) + (steps - 1) / 2) + matrix[:, 2]
    place = np.column_stack([matrix[:, :2] * steps, shift])
    grey = cv2.warpAffine(small, place, (VIEW_PX, VIEW_PX), borderMode=cv2.BORDER_REPLICATE)
    return cv2.merge([grey, grey, grey])
