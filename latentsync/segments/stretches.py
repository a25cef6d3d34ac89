"""Stretches of frames: the longest, and its middle."""

import numpy as np


def longest_run(wanted: np.ndarray) -> tuple[int, int]:
    """The longest half-open range of ``wanted`` (N,) bool; empty when there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8)))
    runs = edges.reshape(-1, 2)
    start, end = runs[np.argmax(runs[:, 1] - runs[:, 0])] if len(runs) else (0, 0)
    return int(start), int(end)


def middle_of(run: tuple[int, int], frames: int) -> tuple[int, int]:
    """At most ``frames`` frames in the middle of a half-open range."""
    first = max(run[0], (run[0] + run[1] - frames) // 2)
    return first, min(run[1], first + frames)
