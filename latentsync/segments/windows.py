"""The global grid of windows: how it is cut, and which of it a segment meets."""

from collections.abc import Iterator, Sequence

import numpy as np

from latentsync.engines.protocol import WINDOW_FRAMES

BLOCK_FRAMES = 32 * WINDOW_FRAMES  # the grid begins anew at each multiple: what lies before it has no say


def cover(ranges: Sequence[tuple[int, int]], moving: np.ndarray, least_kept_frames: int) -> np.ndarray:
    """The fewest windows over the ``moving`` (N,) frames of unbroken ranges: (W, 2) int32 half-open.

    A window follows the one before, or begins at the next moving frame if that is ``least_kept_frames`` or more
    ahead. The last one of a range or of a block may be shorter.
    """
    starts, grid = np.flatnonzero(moving), []
    for position, end in (piece for bounds in ranges for piece in _by_block(*bounds)):
        while (ahead := starts[np.searchsorted(starts, position) :][:1]).size and ahead[0] < end:
            position = position if ahead[0] - position < least_kept_frames else int(ahead[0])
            grid.append((position, min(position + WINDOW_FRAMES, end)))
            position += WINDOW_FRAMES
    return np.array(grid, np.int32).reshape(-1, 2)


def _by_block(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = min(end, (start // BLOCK_FRAMES + 1) * BLOCK_FRAMES)
        yield start, stop
        start = stop


def touching(windows: np.ndarray, start: int, end: int) -> slice:
    """Which rows of the (W, 2) windows touch output frames ``[start, end)``."""
    first = int(np.searchsorted(windows[:, 1], start, side="right"))
    return slice(first, max(first, int(np.searchsorted(windows[:, 0], end))))


def covering_batches(windows: np.ndarray, start: int, end: int, windows_per_batch: int) -> list[np.ndarray]:
    """Whole batches of the global batch grid that touch ``[start, end)``, each (B, 2).

    Window j of a block always belongs to its batch ``j // windows_per_batch``: it meets the same neighbours
    whatever the segment, and whatever is known of other blocks.
    """
    blocks, batches = windows[:, 0] // BLOCK_FRAMES, []
    for block in range(start // BLOCK_FRAMES, -(-end // BLOCK_FRAMES)):
        first, last = np.searchsorted(blocks, [block, block + 1])
        batches += [windows[at : min(at + windows_per_batch, last)] for at in range(first, last, windows_per_batch)]
    return [batch for batch in batches if ((batch[:, 0] < end) & (batch[:, 1] > start)).any()]
