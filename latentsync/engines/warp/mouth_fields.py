"""Smooth fields that carry the skin: for each place of the new face, the way to its source pixel.

All take one mouth ``own`` and one ``target`` (shapes without a leading axis), and the places ``u`` and ``v`` (H, W)
float32 of the target mouth (see ``mouth_shape``). They return (H, W) float32: pixels along or down the mouth's axes,
from a place of the new face to its source. They never fold: along each column the source rises with the target.
"""

import numpy as np

from latentsync.engines.warp.mouth_shape import MouthShape, contour, lip_thickness

LIP_INSET = 0.025  # of half the mouth's width: lips are taken from just inside their edges
CLOSING_INSET = 0.04  # of the gap that is closed
INSET_REACH = 0.3  # beyond the corners, in u
NEAR_MOUTH = 0.6  # of half the mouth's width: how far above and below the mouth it changes the width
UPPER_REACH = 0.45  # of half the mouth's width: skin above the upper lip that goes along
CHIN_WIDTH = 1.4  # in u: part of the jaw that goes down with the chin
NECK_REACH = 0.5  # of half the mouth's width: skin below the chin that goes along


def across_field(own: MouthShape, target: MouthShape, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Widens or narrows the mouth: (H, W) pixels along its axis; the cheeks follow until u = 2."""
    top, bottom = target.upper[0] - target.upper_thickness[0], target.lower[0] + target.lower_thickness[0]
    outside = np.maximum(np.maximum(top - v, v - bottom), 0) / (NEAR_MOUTH * target.half_width)
    near = np.exp(-outside * outside) * (1 - smoothstep(np.abs(u) - 1))
    return u * (own.half_width - target.half_width) * near


def upper_field(own: MouthShape, target: MouthShape, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Carries the upper lip: (H, W) pixels down; fades out towards the nose."""
    own_lip, lip = lip_thickness(u, own.upper_thickness), lip_thickness(u, target.upper_thickness)
    above = contour(u, target.upper) - v
    into_lip = np.clip(above / (lip + 0.001), 0, 1)
    way = contour(u, own.upper - target.upper)
    way -= _inset(own, target, u) * (1 - into_lip) + (own_lip - lip) * into_lip
    return way * (1 - smoothstep((above - lip) / (UPPER_REACH * target.half_width)))


def lower_field(own: MouthShape, target: MouthShape, u: np.ndarray, v: np.ndarray, chin_limit_px: float) -> np.ndarray:
    """Carries the lower lip: (H, W) pixels down, passing into the way of the chin (``chin_limit_px`` at most)."""
    own_lip, lip = lip_thickness(u, own.lower_thickness), lip_thickness(u, target.lower_thickness)
    below = v - contour(u, target.lower)
    into_lip = np.clip(below / (lip + 0.001), 0, 1)
    way = contour(u, own.lower - target.lower)
    way += _inset(own, target, u) * (1 - into_lip) + (own_lip - lip) * into_lip
    chin = np.clip(own.chin - target.chin, -chin_limit_px, chin_limit_px) * np.exp(-((u / CHIN_WIDTH) ** 2))
    chin = chin * (1 - smoothstep((v - target.chin) / (NECK_REACH * target.half_width)))
    reach = target.chin - target.lower[0] - target.lower_thickness[0]
    share = smoothstep((below - lip) / np.maximum(reach, 0.3 * target.half_width))
    return way * (1 - share) + chin * share


def smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between (3x^2 - 2x^3); of the shape of ``x``."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _inset(own: MouthShape, target: MouthShape, u: np.ndarray) -> np.ndarray:
    """How far inside its edge a lip is taken, (H, W) pixels: the more, the more an open mouth is closed."""
    closing = np.maximum(own.gap - target.gap, 0)
    depth = LIP_INSET * own.half_width + CLOSING_INSET * closing
    return depth * (1 - smoothstep((np.abs(u) - 1) / INSET_REACH))
