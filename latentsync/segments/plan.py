"""Cut the timeline into segments on the one global window grid."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from latentsync.faces.align import to_aligned
from latentsync.records import Segment

BATCH_GRID = 8  # windows; a cut here falls between GPU batches of 1, 2, 4 or 8 windows


def plan_segments(frames: int, windows: np.ndarray, segment_frames: int, overlap_frames: int) -> list[Segment]:
    """Segments that cover ``[0, frames)`` without gaps.

    ``windows`` (W, 2) are the half-open frame ranges of the global grid. Cuts lie at the multiple of
    ``segment_frames`` or, inside a window, at a window's start near it, so no window is computed twice
    for a cut alone.
    """
    cuts, reach = [0], segment_frames // 4
    for target in range(segment_frames, frames - reach, segment_frames):  # a short rest joins the last segment
        cut = _cut_near(target, windows, reach)
        if cuts[-1] < cut < frames:
            cuts.append(cut)
    return [
        Segment(index=index, start=start, end=end, clip_end=min(end + overlap_frames, frames))
        for index, (start, end) in enumerate(zip(cuts, [*cuts[1:], frames], strict=True))
    ]


def write_segments(segments: Sequence[Segment], out: Path) -> None:
    """Write the (S, 3) int64 start, end and clip_end of segments, as ``job.Plan`` reads them."""
    np.save(out, np.array([[segment.start, segment.end, segment.clip_end] for segment in segments], np.int64))


def windows_touching(windows: np.ndarray, start: int, end: int) -> np.ndarray:
    """Those of the (W, 2) windows that touch output frames ``[start, end)``."""
    return windows[(windows[:, 1] > start) & (windows[:, 0] < end)]


def _cut_near(target: int, windows: np.ndarray, reach: int) -> int:
    if not len(windows):
        return target
    on_grid = windows[::BATCH_GRID, 0]
    best = int(on_grid[np.argmin(np.abs(on_grid - target))])
    if abs(best - target) <= reach:
        return best
    inside = (windows[:, 0] < target) & (target < windows[:, 1])
    return int(windows[inside][0, 0]) if inside.any() else target


def covering_batches(windows: np.ndarray, start: int, end: int, windows_per_batch: int) -> list[np.ndarray]:
    """Whole batches of the global batch grid that touch ``[start, end)``, each (B, 2).

    Window j always belongs to batch ``j // windows_per_batch``: it meets the same neighbours
    whatever the segment.
    """
    touching = np.flatnonzero((windows[:, 1] > start) & (windows[:, 0] < end))
    if not len(touching):
        return []
    first, last = touching[0] // windows_per_batch, touching[-1] // windows_per_batch
    return [windows[batch * windows_per_batch : (batch + 1) * windows_per_batch] for batch in range(first, last + 1)]


def aligned_mouths(track: np.ndarray, resolution_px: int, out: Path) -> None:
    """Write the mouth of every source frame in aligned pixels, (M, K, 2) float32, NaN without a face."""
    shape = (len(track), *track.dtype["mouth"].shape)
    mouths = np.lib.format.open_memmap(out, mode="w+", dtype=np.float32, shape=shape)
    for index, row in enumerate(track):
        mouths[index] = to_aligned(row["mouth"], row["matrix"], resolution_px) if row["face"] else np.nan
    mouths.flush()
