"""The global grid of windows: how it is cut, and which of it a segment meets."""

from collections.abc import Sequence

import numpy as np

from latentsync.engines.protocol import WINDOW_FRAMES


def cover(ranges: Sequence[tuple[int, int]], moving: np.ndarray, least_kept_frames: int) -> np.ndarray:
    """The fewest windows over the ``moving`` (N,) frames of unbroken ranges: (W, 2) int32 half-open.

    A window follows the one before, or begins at the next moving frame if that is ``least_kept_frames`` or more
    ahead. The last one of a range may be shorter.
    """
    starts, grid = np.flatnonzero(moving), []
    for position, end in ranges:
        while (ahead := starts[np.searchsorted(starts, position) :][:1]).size and ahead[0] < end:
            position = position if ahead[0] - position < least_kept_frames else int(ahead[0])
            grid.append((position, min(position + WINDOW_FRAMES, end)))
            position += WINDOW_FRAMES
    return np.array(grid, np.int32).reshape(-1, 2)


def touching(windows: np.ndarray, start: int, end: int) -> slice:
    """Which rows of the (W, 2) windows touch output frames ``[start, end)``."""
    first = int(np.searchsorted(windows[:, 1], start, side="right"))
    return slice(first, max(first, int(np.searchsorted(windows[:, 0], end))))


def covering_batches(windows: np.ndarray, start: int, end: int, windows_per_batch: int) -> list[np.ndarray]:
    """Whole batches of the global batch grid that touch ``[start, end)``, each (B, 2).

    Window j always belongs to batch ``j // windows_per_batch``: it meets the same neighbours
    whatever the segment.
    """
    found = touching(windows, start, end)
    if found.start == found.stop:
        return []
    batches = range(found.start // windows_per_batch, (found.stop - 1) // windows_per_batch + 1)
    return [windows[batch * windows_per_batch : (batch + 1) * windows_per_batch] for batch in batches]
