"""Cut the timeline into segments on the one global window grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from latentsync.faces.align import to_aligned
from latentsync.faces.track import runs
from latentsync.job import Job
from latentsync.records import Segment
from latentsync.segments.silence import LEAST_KEPT_SECONDS, must_move, open_mouths, paste_opacity
from latentsync.segments.windows import cover

BATCH_GRID = 8  # windows; a cut here falls between GPU batches of 1, 2, 4 or 8 windows


class Windows(NamedTuple):
    """Where faces are generated, and how much of them is shown; the same for every segment of a job."""

    grid: np.ndarray  # (W, 2) int32 half-open output ranges, in order
    opacity: np.ndarray  # (N,) uint8 by output frame: 0 the source's pixels .. 255 the generated face


def plan_windows(job: Job, track: np.ndarray, loudness_db: np.ndarray) -> Windows:
    """Windows over all frames with voice and face or, if silence is kept, over those that must move.

    ``track`` is (M,) faces.track.TRACK_DTYPE, ``loudness_db`` (V,) the voice's level by output frame.
    """
    timeline = job.timeline
    indices = timeline.source_indices(0, timeline.voice_frames)
    ranges = runs(track, indices)
    grid = window_grid(job, ranges, open_mouths(track)[indices], loudness_db)
    return Windows(grid, paste_opacity(ranges, grid, timeline.frames, timeline.fps))


def window_grid(job: Job, ranges: list[tuple[int, int]], is_open: np.ndarray, loudness_db: np.ndarray) -> np.ndarray:
    """The (W, 2) windows over unbroken ``ranges`` of output frames, for what is said there.

    ``is_open`` (V,) bool tells the frames with voice in which the source's mouth is open, ``loudness_db`` (V,) how
    loud the voice is there.
    """
    fps, moving = job.timeline.fps, np.ones(job.timeline.voice_frames, bool)
    if job.settings.segments.silence == "keep":
        moving = must_move(loudness_db, is_open, fps)
    return cover(ranges, moving, round(LEAST_KEPT_SECONDS * fps))


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


def _cut_near(target: int, windows: np.ndarray, reach: int) -> int:
    if not len(windows):
        return target
    on_grid = windows[::BATCH_GRID, 0]
    best = int(on_grid[np.argmin(np.abs(on_grid - target))])
    if abs(best - target) <= reach:
        return best
    inside = (windows[:, 0] < target) & (target < windows[:, 1])
    return int(windows[inside][0, 0]) if inside.any() else target


def aligned_mouths(track: np.ndarray, resolution_px: int, out: Path) -> None:
    """Write the mouth of every source frame in aligned pixels, (M, K, 2) float32, NaN without a face."""
    shape = (len(track), *track.dtype["mouth"].shape)
    mouths = np.lib.format.open_memmap(out, mode="w+", dtype=np.float32, shape=shape)
    for index, row in enumerate(track):
        mouths[index] = to_aligned(row["mouth"], row["matrix"], resolution_px) if row["face"] else np.nan
    mouths.flush()
