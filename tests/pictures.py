"""Pictures that tests look at."""

from pathlib import Path

import cv2
import numpy as np


def read_picture(path: Path) -> np.ndarray:
    """Pixels (H, W, 3) uint8 RGB of a picture's file."""
    pixels = cv2.imread(str(path))
    assert pixels is not None, f"{path} is no picture"
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
