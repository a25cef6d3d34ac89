"""The region of the aligned face that engines may change (the model's fixed keep-mask)."""

import re
from importlib.resources import files

import cv2
import numpy as np

SPANS_PX = 256  # resolution of the spans file


def keep_mask(resolution_px: int) -> np.ndarray:
    """(R, R) float32: 1 keep, 0 generate; Lanczos resizing leaves values around 0..1 at the edge."""
    mask = 1 - _generated_spans().astype(np.float32)
    size = (resolution_px, resolution_px)
    return mask if resolution_px == SPANS_PX else cv2.resize(mask, size, interpolation=cv2.INTER_LANCZOS4)


def generated_region(resolution_px: int) -> np.ndarray:
    """(R, R) bool, True where a face may be changed: mouth, cheeks, jaw; not the nose."""
    size = (resolution_px, resolution_px)
    return cv2.resize(_generated_spans(), size, interpolation=cv2.INTER_NEAREST).astype(bool)


def _generated_spans() -> np.ndarray:
    """(SPANS_PX, SPANS_PX) uint8, 1 inside the spans: lines of "row: [start,end) ..."."""
    region = np.zeros((SPANS_PX, SPANS_PX), np.uint8)
    text = files("latentsync.engines").joinpath("mask_spans_256.txt").read_text()
    for line in text.splitlines():
        if not line.startswith("#"):
            row, spans = line.split(":")
            for start, end in re.findall(r"\[(\d+),(\d+)\)", spans):
                region[int(row), int(start) : int(end)] = 1
    return region
