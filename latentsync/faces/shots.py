"""Hard cuts, from thumbnails that are a few hundred bytes per frame."""

import cv2
import numpy as np

SIGNATURE_SIZE = 16  # side of the luma thumbnail
THINNING = 4  # of the pixels that are looked at, each way: averages hardly change, at a tenth of the time
MIN_CHANGE = 12.0  # mean grey levels between neighbours; a talking head stays below 2, a quick pan below 10
MIN_PROMINENCE = 2.5  # times the changes just before and after: a pan or a flicker goes on, a cut does not


def signature(rgb: np.ndarray) -> np.ndarray:
    """A luma thumbnail (SIGNATURE_SIZE, SIGNATURE_SIZE) uint8 of a picture (H, W, 3)."""
    thinned = np.ascontiguousarray(rgb[::THINNING, ::THINNING])
    small = cv2.resize(thinned, (SIGNATURE_SIZE, SIGNATURE_SIZE), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)


def changes(signatures: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each signature (M, S, S) to the one before: (M,), 0 for the first."""
    difference = np.abs(np.diff(signatures.astype(np.int16), axis=0))
    return np.concatenate([[0.0], difference.mean(axis=(1, 2))])


def shot_changes(change: np.ndarray) -> np.ndarray:
    """Indices of the frames that begin a new shot, from ``changes`` of the whole video (M,)."""
    padded = np.pad(change, 2)
    around = np.max([padded[:-4], padded[1:-3], padded[3:-1], padded[4:]], axis=0)
    return np.flatnonzero((change >= MIN_CHANGE) & (change >= MIN_PROMINENCE * around))
