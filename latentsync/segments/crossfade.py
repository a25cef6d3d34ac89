"""Blend two neighbouring face clips where they overlap."""

import numpy as np


def fade_weight(position: int, overlap_frames: int) -> int:
    """Weight (0..256) of the later clip, ``position`` frames into the overlap.

    The fade takes the middle half of the overlap: 0 before it, 256 after it, linear between.
    """
    ramp = (position + 0.5) / overlap_frames
    return round(256 * min(max(2 * ramp - 0.5, 0.0), 1.0))


def crossfade(earlier: np.ndarray, later: np.ndarray, position: int, overlap_frames: int) -> np.ndarray:
    """uint8 blend of two equally shaped faces; exactly the face where both are equal."""
    weight = fade_weight(position, overlap_frames)
    step = (later.astype(np.int32) - earlier) * weight
    return (earlier + ((step + 128) >> 8)).astype(np.uint8)
