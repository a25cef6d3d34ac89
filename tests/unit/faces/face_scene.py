"""Smooth pictures in every pixel layout, and a place for a face in them."""

import numpy as np

from latentsync.faces.align import similarity_matrices
from latentsync.faces.alignment import LATENTSYNC_ALIGNMENT
from latentsync.media.frames import Frame, PixelLayout

TEMPLATE = np.array(LATENTSYNC_ALIGNMENT.points)
LAYOUTS = {
    "420p8": PixelLayout(360, 480, 1, 1, 8),
    "420p8-odd": PixelLayout(361, 479, 1, 1, 8),
    "422p10": PixelLayout(360, 480, 1, 0, 10, "bt2020"),
    "444p12-full": PixelLayout(360, 480, 0, 0, 12, "bt601", full_range=True),
}


def smooth_frame(layout: PixelLayout) -> Frame:
    """Slow colour waves well inside the legal range, with some noise in the luma."""
    step = 2 ** (layout.bit_depth - 8)
    noise = np.random.default_rng(5).integers(-2, 3, (layout.height, layout.width))
    y = _waves(layout.width, layout.height, 23, 70) + noise + 120
    u = _waves(layout.chroma_width, layout.chroma_height, 31, 20) + 128
    v = _waves(layout.chroma_width, layout.chroma_height, 41, 20) + 128
    y, u, v = (np.rint(plane * step).astype(layout.dtype) for plane in (y, u, v))
    return Frame(y, u, v, layout)


def _waves(width: int, height: int, period: int, swing: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return swing * np.sin(columns / period) * np.cos(rows / (period + 6))


def face_matrix(centre=(180.0, 240.0), scale=2.0, turn_degrees=7.0, resolution=512) -> np.ndarray:
    """Source -> crop of a face whose nose is at ``centre``; ``scale`` source px per template unit."""
    angle = np.deg2rad(turn_degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (TEMPLATE - TEMPLATE[2]) * scale @ turn.T + centre
    return similarity_matrices(points[None], resolution)[0]
