"""What an opened mouth shows: teeth and dark, from the clip itself where it opens its mouth.

The interior is a picture in the mouth's own coordinates: columns are u = -1 .. 1 from corner to corner,
rows the depth below the upper lip, 0 .. DEPTH halves of the mouth's width.
"""

import cv2
import numpy as np

from latentsync.generation.mouth_shape import MouthShape, contour

COLUMNS, ROWS = 256, 160
DEPTH = 1.25  # COLUMNS / 2 pixels are half a mouth's width, in both directions
TEETH = 9  # painted from corner to corner
LIP_INSET = 0.025  # of half the mouth's width: stay clear of the lips' edges


def interior_from_face(face: np.ndarray, shape: MouthShape) -> np.ndarray:
    """(ROWS, COLUMNS, 3) uint8 interior out of an aligned face with an open mouth.

    Below the open part its last row goes on, for openings wider than this one.
    """
    u, depth = np.meshgrid(np.linspace(-1, 1, COLUMNS), np.linspace(0, DEPTH, ROWS))
    inset = LIP_INSET * shape.half_width
    upper, lower = contour(u, shape.upper) + inset, contour(u, shape.lower) - inset
    v = np.clip(upper + depth * shape.half_width, upper, np.maximum(lower, upper))
    x, y = _to_pixels(shape, u, v)
    return cv2.remap(face, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)


def painted_interior(face: np.ndarray) -> np.ndarray:
    """Interior for a clip that never opens its mouth: dark, with a hint of upper teeth.

    The skin of ``face`` (R, R, 3), around the mouth, sets the light.
    """
    u, depth = np.meshgrid(np.linspace(-1, 1, COLUMNS), np.linspace(0, DEPTH, ROWS))
    size = len(face)
    light = float(np.median(face[size // 2 : size * 7 // 8, size // 4 : size * 3 // 4].mean(axis=2)))
    dark, teeth = light * np.array([0.30, 0.14, 0.13]), light * np.array([1.05, 0.96, 0.86])
    between = np.abs(np.cos(u * TEETH * np.pi / 2))  # 0 where two teeth meet
    edge = 0.17 - 0.09 * u * u + 0.015 * between
    shown = 1 / (1 + np.exp((depth - edge) / 0.012))
    shown *= np.clip(1.2 - 1.4 * u * u, 0, 1) * (0.85 + 0.15 * between**0.3)
    picture = dark + (0.85 * shown)[..., None] * (teeth - dark)
    return np.clip(picture, 0, 255).astype(np.uint8)


def look_inside(interior: np.ndarray, u: np.ndarray, depth: np.ndarray, teeth: float) -> np.ndarray:
    """What is seen at places ``u``, ``depth`` (H, W) of the opening, as (H, W, 3) uint8.

    The picture begins ``teeth`` below its upper edge; the upper lip and the corners shade it.
    """
    depth = np.maximum(depth, 0)
    x, y = (u + 1) * ((COLUMNS - 1) / 2), (depth + teeth) * ((ROWS - 1) / DEPTH)
    seen = cv2.remap(interior, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    light = (1 - 0.75 * np.exp(-depth / 0.03)) * (1 - 0.4 * np.minimum(u * u, 1) ** 2)
    return cv2.multiply(seen, cv2.merge([light, light, light]), dtype=cv2.CV_8U)


def _to_pixels(shape: MouthShape, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x, y in aligned pixels of the places ``u``, ``v`` of a mouth."""
    along = u * shape.half_width
    x = shape.centre[0] + along * shape.axis[0] - v * shape.axis[1]
    y = shape.centre[1] + along * shape.axis[1] + v * shape.axis[0]
    return x, y
