"""What an opened mouth shows: teeth and dark, from the clip itself where it opens its mouth.

The interior is a picture in the mouth's own coordinates: columns are u = -1 .. 1 from corner to corner,
rows the depth below the upper lip, 0 .. DEPTH halves of the mouth's width.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from latentsync.engines.warp.mouth_shape import MouthShape, contour

COLUMNS, ROWS = 256, 160
DEPTH = 1.25  # COLUMNS / 2 pixels are half a mouth's width, in both directions
LIP_INSET, LOWER_INSET = 0.025, 0.05  # of half the mouth's width: stay clear of the lips' edges
TEETH_HIDDEN = 0.05  # of the missing gap: the upper lip hides teeth as it comes down
MAX_STRETCH = 1.5  # for openings wider than the one it was seen through
FADE_TO_DARK = 0.08  # of half the mouth's width
PAINTED_TEETH = 9  # from corner to corner
DARK, TOOTH = np.array([0.30, 0.14, 0.13]), np.array([1.05, 0.96, 0.86])  # colours under the skin's light


@dataclass(frozen=True)
class Interior:
    """The inside of one speaker's mouth."""

    picture: np.ndarray  # (ROWS, COLUMNS, 3) uint8
    gap: float  # of half the mouth's width: the opening it was seen through; 0: it was painted

    @classmethod
    def of_face(cls, face: np.ndarray, shape: MouthShape) -> "Interior":
        """Out of an aligned face (R, R, 3) with an open mouth; below that opening the dark goes on."""
        u, depth = _grid()
        upper = contour(u, shape.upper) + LIP_INSET * shape.half_width
        lower = contour(u, shape.lower) - LOWER_INSET * shape.half_width
        v = upper + depth * shape.half_width
        x, y = _to_pixels(shape, u, np.clip(v, upper, np.maximum(lower, upper)))
        seen = cv2.remap(face, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
        beyond = np.clip((v - lower) / (FADE_TO_DARK * shape.half_width), 0, 1)[..., None]
        picture = seen * (1 - beyond) + DARK * _light(face) * beyond
        return cls(np.rint(picture).astype(np.uint8), float(shape.gap / shape.half_width))

    @classmethod
    def painted(cls, face: np.ndarray) -> "Interior":
        """For a clip that never opens its mouth: dark, with a hint of upper teeth, in its light."""
        u, depth = _grid()
        between = np.abs(np.cos(u * PAINTED_TEETH * np.pi / 2))  # 0 where two teeth meet
        edge = 0.17 - 0.09 * u * u + 0.015 * between
        shown = 1 / (1 + np.exp((depth - edge) / 0.012))
        shown *= np.clip(1.2 - 1.4 * u * u, 0, 1) * (0.85 + 0.15 * between**0.3)
        picture = DARK + (0.85 * shown)[..., None] * (TOOTH - DARK)
        return cls(np.clip(picture * _light(face), 0, 255).astype(np.uint8), 0.0)

    def look(self, u: np.ndarray, depth: np.ndarray, gap: np.ndarray, middle_gap: float) -> np.ndarray:
        """What is seen at places ``u``, ``depth`` of an opening, as (H, W, 3) uint8.

        ``gap`` is the opening's height at each place, ``middle_gap`` in its middle, both as ``depth`` in
        halves of the mouth's width. The upper lip and the corners shade it; a mere crack is dark.
        """
        depth = np.maximum(depth, 0)
        hidden = TEETH_HIDDEN * max(self.gap - middle_gap, 0)
        stretch = min(max(middle_gap / self.gap, 1), MAX_STRETCH) if self.gap else 1.0
        x, y = (u + 1) * ((COLUMNS - 1) / 2), (depth / stretch + hidden) * ((ROWS - 1) / DEPTH)
        seen = cv2.remap(self.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        shade = 0.45 + 0.40 * np.exp(-gap / 0.08)
        light = (1 - shade * np.exp(-depth / 0.03)) * (1 - 0.4 * np.minimum(u * u, 1) ** 2)
        return cv2.multiply(seen, cv2.merge([light, light, light]), dtype=cv2.CV_8U)


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """u and depth of the picture's pixels, (ROWS, COLUMNS) each."""
    u, depth = np.meshgrid(np.linspace(-1, 1, COLUMNS), np.linspace(0, DEPTH, ROWS))
    return u, depth


def _light(face: np.ndarray) -> float:
    """Brightness 0..255 of the skin around the mouth of an aligned face."""
    size = len(face)
    return float(np.median(face[size // 2 : size * 7 // 8, size // 4 : size * 3 // 4].mean(axis=2)))


def _to_pixels(shape: MouthShape, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x, y in aligned pixels of the places ``u``, ``v`` of a mouth."""
    along = u * shape.half_width
    x = shape.centre[0] + along * shape.axis[0] - v * shape.axis[1]
    y = shape.centre[1] + along * shape.axis[1] + v * shape.axis[0]
    return x, y
