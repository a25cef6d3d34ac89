"""What an opened mouth shows: teeth and dark, from the clip itself where it opens its mouth.

The interior is a picture in the mouth's own coordinates: columns are u = -1 .. 1 from corner to corner,
rows the depth below the upper lip, 0 .. DEPTH halves of the mouth's width.
"""

import cv2
import numpy as np

from latentsync.generation.mouth_shape import MouthShape, contour_basis

COLUMNS, ROWS = 256, 160
DEPTH = 1.25  # COLUMNS / 2 pixels are half a mouth's width, in both directions
LIP_INSET = 0.025  # of half the mouth's width: stay clear of the lips' edges


def interior_from_face(face: np.ndarray, shape: MouthShape) -> np.ndarray:
    """(ROWS, COLUMNS, 3) uint8 interior out of an aligned face with an open mouth.

    Below the open part its last row goes on, for openings wider than this one.
    """
    u, depth = np.meshgrid(np.linspace(-1, 1, COLUMNS), np.linspace(0, DEPTH, ROWS))
    basis = contour_basis(u)
    inset = LIP_INSET * shape.half_width
    upper, lower = basis @ shape.upper + inset, basis @ shape.lower - inset
    v = np.clip(upper + depth * shape.half_width, upper, np.maximum(lower, upper))
    x, y = to_pixels(shape, u, v)
    return cv2.remap(face, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)


def painted_interior(skin: np.ndarray) -> np.ndarray:
    """Interior for a clip that never opens its mouth: dark, with a hint of upper teeth.

    ``skin`` (3,) is the colour around the mouth; it sets the light.
    """
    u, depth = np.meshgrid(np.linspace(-1, 1, COLUMNS), np.linspace(0, DEPTH, ROWS))
    light = float(np.mean(skin)) / 255
    dark = np.array([62, 26, 26]) * light
    teeth = np.array([214, 202, 188]) * light
    edge = 0.20 - 0.10 * u * u + 0.012 * np.cos(u * 9 * np.pi)
    shown = 1 / (1 + np.exp((depth - edge) / 0.015))
    shown *= np.clip(1.25 - 1.5 * u * u, 0, 1) * (0.88 + 0.12 * np.abs(np.cos(u * 4.5 * np.pi)) ** 0.2)
    picture = dark + (shown * 0.8)[..., None] * (teeth - dark)
    return np.clip(picture, 0, 255).astype(np.uint8)


def to_pixels(shape: MouthShape, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x, y in aligned pixels of the places ``u``, ``v`` of a mouth."""
    along = u * shape.half_width
    x = shape.centre[0] + along * shape.axis[0] - v * shape.axis[1]
    y = shape.centre[1] + along * shape.axis[1] + v * shape.axis[0]
    return x, y
