"""Face alignment: a similarity transform per frame, and the upright face crop that engines see.

Two spaces lie behind a source frame: the *crop* (420x560 at 512), which ``matrix`` maps source pixels
to, and the *aligned* face (R x R), the crop resized. Pixel centres are whole numbers in all of them. An alignment
that is not ``through_crop`` goes from one to the other without making the crop.
"""

from typing import NamedTuple

import cv2
import numpy as np

from latentsync.faces.alignment import LATENTSYNC_ALIGNMENT, Alignment
from latentsync.media.frames import Frame
from latentsync.storage.mapped import BLOCK_ROWS

CROP_UNITS = (75, 100)  # those of an ``Alignment``
KEEP_BIAS = 0.2  # weight of the past in the smoothing of the third point
OUTSIDE = 127  # grey level beyond the picture's edges
MARGIN_PX = 2  # more than bilinear sampling reaches


class Region(NamedTuple):
    """A half-open pixel rectangle of a frame."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.bottom - self.top


def crop_size(resolution: int) -> tuple[int, int]:
    """Width and height of the crop in pixels: (420, 560) at 512, (210, 280) at 256."""
    ratio = _ratio(resolution)
    return int(CROP_UNITS[0] * ratio), int(CROP_UNITS[1] * ratio)


def similarity_matrices(points: np.ndarray, resolution: int, alignment: Alignment = LATENTSYNC_ALIGNMENT) -> np.ndarray:
    """Source pixels -> crop pixels of consecutive frames, (T, 3, 2) -> (T, 2, 3) float64.

    Each frame's transform is the least-squares rotation of the normalised points (no reflection) with
    the ratio of their standard deviations as scale. LatentSync then adds the normalised third point's
    error to the translation, smoothed over time: call this once per unbroken track, never per segment.
    """
    matrices, kept = np.empty((len(points), 2, 3)), None
    for start in range(0, len(points), BLOCK_ROWS):
        scale, shift, error = _fitted(points[start : start + BLOCK_ROWS], resolution, alignment)
        for frame, new in enumerate(error.tolist()):
            kept = new if kept is None else KEEP_BIAS * kept + (1 - KEEP_BIAS) * new
            error[frame] = kept
        shift = shift + error
        rows = [scale.real, -scale.imag, shift.real, scale.imag, scale.real, shift.imag]
        matrices[start : start + BLOCK_ROWS] = np.stack(rows, axis=1).reshape(-1, 2, 3)
    return matrices


def _fitted(points: np.ndarray, resolution: int, alignment: Alignment) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale and turn, shift, and the third point's error of each frame: complex (T,)."""
    template = np.array(alignment.points) * _ratio(resolution)
    source = points.astype(np.float64)
    normal, centre, spread = _normalise(source)
    goal, goal_centre, goal_spread = _normalise(template[None])
    turn = np.sum(goal * normal.conj(), axis=1)  # points as complex numbers: a product is a rotation
    scale = goal_spread / spread * turn / np.abs(turn)
    return scale, goal_centre - scale * centre, goal[:, 2] - normal[:, 2]


def aligned_matrix(matrix: np.ndarray, resolution: int) -> np.ndarray:
    """Source pixels -> pixels of the aligned R x R face, (2, 3), from ``matrix``, which maps them to the crop."""
    scale = resolution / np.array(crop_size(resolution))
    return np.column_stack([matrix[:, :2] * scale[:, None], (matrix[:, 2] + 0.5) * scale - 0.5])


def to_aligned(points: np.ndarray, matrix: np.ndarray, resolution: int) -> np.ndarray:
    """Source pixels -> pixels of the aligned R x R face, (..., 2) float64."""
    place = aligned_matrix(matrix, resolution)
    return points @ place[:, :2].T + place[:, 2]


def align_face(
    frame: Frame, matrix: np.ndarray, resolution: int, alignment: Alignment = LATENTSYNC_ALIGNMENT
) -> np.ndarray:
    """The aligned face of a planar frame, (R, R, 3) uint8 RGB.

    The planes are warped before the conversion, so the cost does not depend on the face's size.
    """
    layout = frame.layout
    grey = layout.from_rgb @ (OUTSIDE, OUTSIDE, OUTSIDE, 1)
    shifts = [(0, 0), *[(layout.chroma_shift_x, layout.chroma_shift_y)] * 2]
    crop = alignment.through_crop
    place, size = (
        (matrix, crop_size(resolution)) if crop else (aligned_matrix(matrix, resolution), (resolution, resolution))
    )
    planes = [
        _warped(plane, _on_plane(place, *shift), size, level)
        for plane, shift, level in zip(frame.planes(), shifts, grey, strict=True)
    ]
    rgb = cv2.convertScaleAbs(cv2.transform(cv2.merge(planes), layout.to_rgb.astype(np.float32)))
    return resize_crop(rgb, resolution) if crop else rgb  # 10 and 12 bit are saturated to 0..255


def warp_crop(picture: np.ndarray, matrix: np.ndarray, resolution: int, outside: float = OUTSIDE) -> np.ndarray:
    """The crop of a picture (H, W) or (H, W, 3), bilinear, ``outside`` beyond its edges.

    Rounds to the nearest grey level, where the reference truncates and so darkens by half a level.
    """
    return _warped(picture, matrix, crop_size(resolution), outside)


def resize_crop(crop: np.ndarray, resolution: int) -> np.ndarray:
    """Crop -> aligned face (R, R, 3) uint8. Lanczos is faster on floats."""
    face = cv2.resize(crop.astype(np.float32), (resolution, resolution), interpolation=cv2.INTER_LANCZOS4)
    return cv2.convertScaleAbs(np.maximum(face, 0, out=face))


def face_region(matrix: np.ndarray, resolution: int, width: int, height: int) -> Region:
    """The even-aligned part of a ``width`` x ``height`` frame that the crop covers, with a margin."""
    right, bottom = crop_size(resolution)
    corners = np.array([[0, 0], [right, 0], [0, bottom], [right, bottom]]) - 0.5
    corners = cv2.transform(corners[None], cv2.invertAffineTransform(matrix))[0]
    low = np.floor(corners.min(axis=0)).astype(int) - MARGIN_PX
    high = np.ceil(corners.max(axis=0)).astype(int) + MARGIN_PX + 1
    left, top = (low & ~1).clip(0)
    right, bottom = np.minimum(high + (high & 1), (width, height))
    return Region(int(left), int(top), int(right), int(bottom))


def moved(matrix: np.ndarray, region: Region) -> np.ndarray:
    """``matrix`` for pixel positions counted from the region's top left corner."""
    offset = matrix[:, :2] @ (region.left, region.top)
    return np.column_stack([matrix[:, :2], matrix[:, 2] + offset])


def _warped(picture: np.ndarray, matrix: np.ndarray, size: tuple[int, int], outside: float) -> np.ndarray:
    return cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_CONSTANT, borderValue=(outside,) * 3)


def _on_plane(matrix: np.ndarray, shift_x: int, shift_y: int) -> np.ndarray:
    """``matrix`` for the samples of a subsampled plane, which lie in the middle of their pixels."""
    step = np.array([1 << shift_x, 1 << shift_y])
    shift = matrix[:, :2] @ ((step - 1) / 2) + matrix[:, 2]
    return np.column_stack([matrix[:, :2] * step, shift])


def _ratio(resolution: int) -> float:
    return resolution / 256 * 2.8


def _normalise(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(T, 3, 2) -> complex (T, 3) with mean 0 and deviation 1, their means (T,) and deviations (T,)."""
    centre = points.mean(axis=1, keepdims=True)
    spread = np.std(points - centre, axis=(1, 2), ddof=1)
    normal = (points - centre) / spread[:, None, None]
    return _complex(normal), _complex(centre)[:, 0], spread


def _complex(points: np.ndarray) -> np.ndarray:
    return points[..., 0] + 1j * points[..., 1]
