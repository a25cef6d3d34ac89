"""Where nothing has to be generated: the voice pauses and the source's mouth is closed anyway."""

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d

from latentsync.faces.points import LIPS_INNER, LIPS_OUTER
from latentsync.job import Plan
from latentsync.media.loudness import FLOOR_DB
from latentsync.storage.mapped import blocks, open_array

LEVEL_PERCENTILE, LEVEL_STEP_DB = 95, 6  # the voice's level, known coarsely: a new sentence seldom moves it
PAUSE_DB = 35.0  # below the voice's level: softer than the softest consonants, some 30 dB below vowels
CLOSED_GAP = 0.06  # of the mouth's width, between the inner lips: closed ones measure 0.00, a smile with teeth 0.17
MARGIN_SECONDS = 0.20  # lips move before the first sound and after the last
FADE_SECONDS = 0.16  # from the source's mouth to the generated one; within the margin
OPAQUE = 255  # of an opacity: nothing but the new face
LEAST_KEPT_SECONDS = 0.2  # between two windows; shorter ones are generated too

_LEFT, _RIGHT = (len(LIPS_OUTER) + LIPS_INNER.index(point) for point in (78, 308))
_BELOW, _ABOVE = (len(LIPS_OUTER) + LIPS_INNER.index(point) for point in (14, 13))


def must_move(loudness_db: np.ndarray, open_mouths: np.ndarray, fps: Fraction) -> np.ndarray:
    """(N,) bool: the output frames whose faces have to be generated, to speak or to close the source's lips.

    ``loudness_db`` (N,) is the voice's level, ``open_mouths`` (N,) bool what the source shows.
    """
    margin = round(MARGIN_SECONDS * fps)
    return maximum_filter1d(is_speaking(loudness_db) | open_mouths, 2 * margin + 1)


def is_speaking(loudness_db: np.ndarray) -> np.ndarray:
    """(N,) bool: the frames in which a voice of these levels (N,) is heard."""
    level = LEVEL_STEP_DB * np.ceil(np.percentile(loudness_db, LEVEL_PERCENTILE) / LEVEL_STEP_DB)
    return loudness_db > max(level - PAUSE_DB, FLOOR_DB)


def speaking(plan: Plan) -> np.ndarray:
    """(V,) bool: the output frames in which a plan's voice is heard."""
    return _speaking(plan.loudness.path, plan.loudness.sha256)


@lru_cache(maxsize=2)  # every segment asks, and the level is that of the whole voice
def _speaking(loudness: Path, _sha256: str) -> np.ndarray:
    return is_speaking(np.array(open_array(loudness)))


def open_mouths(track: np.ndarray) -> np.ndarray:
    """(M,) bool: the frames of a track (faces.track.TRACK_DTYPE) whose lips do not touch."""
    return np.concatenate([are_open(rows["mouth"]) for rows in blocks(track)])


def are_open(mouth: np.ndarray) -> np.ndarray:
    """(F,) bool: whether the lips of each mouth (F, K, 2) do not touch."""
    gap, width = mouth[:, _BELOW] - mouth[:, _ABOVE], mouth[:, _RIGHT] - mouth[:, _LEFT]
    return np.linalg.norm(gap, axis=1) / np.maximum(np.linalg.norm(width, axis=1), 1) > CLOSED_GAP


def paste_opacity(ranges: list[tuple[int, int]], windows: np.ndarray, frames: int, fps: Fraction) -> np.ndarray:
    """How much of the generated face each output frame gets, (frames,) uint8: 0 outside the windows, 255 inside.

    Within an unbroken range of frames with a face, windows fade in and out where kept frames lie beside them.
    """
    inside = np.zeros(frames, bool)
    for start, end in windows:
        inside[start:end] = True
    opacity, half = np.zeros(frames, np.uint8), round(FADE_SECONDS / 2 * fps)
    for start, end in ranges:
        core = minimum_filter1d(inside[start:end], 2 * half + 1, mode="nearest")
        faded = uniform_filter1d(float(OPAQUE) * core, 2 * half + 1, mode="nearest")
        opacity[start:end] = np.where(inside[start:end], np.rint(faded), 0)
    return opacity
