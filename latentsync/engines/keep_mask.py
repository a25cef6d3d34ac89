"""The region of the aligned face that engines may change (the model's fixed keep-mask)."""

from importlib.resources import files

import cv2
import numpy as np

SPANS_PX = 256  # resolution of the spans file


def generated_region(resolution_px: int) -> np.ndarray:
    """(R, R) bool, True where a face may be changed: mouth, cheeks, jaw; not the nose."""
    region = np.zeros((SPANS_PX, SPANS_PX), np.uint8)
    spans = files("latentsync.engines").joinpath("mask_spans_256.txt").read_text()
    for line in spans.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        row, columns = line.split(":")
        for span in columns.split():
            start, end = span.strip("[)").split(",")
            region[int(row), int(start) : int(end)] = 1
    size = (resolution_px, resolution_px)
    return cv2.resize(region, size, interpolation=cv2.INTER_NEAREST).astype(bool)
