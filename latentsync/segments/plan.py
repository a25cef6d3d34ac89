"""Cut the timeline into segments on the one global window grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from latentsync.engines.protocol import WINDOW_FRAMES
from latentsync.engines.registry import is_direct
from latentsync.faces.align import to_aligned
from latentsync.faces.track import runs
from latentsync.job import Job
from latentsync.records import Segment
from latentsync.segments.silence import LEAST_KEPT_SECONDS, must_move, open_mouths, paste_opacity
from latentsync.segments.windows import BLOCK_FRAMES, cover
from latentsync.settings import Settings

SEGMENT_SECONDS = 20.0
DIRECT_SECONDS = 10.0  # nothing is made twice, so short ones cost little, and a part of a long video is soon seen
# Lengths of segments are multiples of the longest of these that is near: at whole blocks no window is made twice, at
# 8 windows none where they follow each other from the block's start.
GRIDS_FRAMES = (BLOCK_FRAMES, 8 * WINDOW_FRAMES, WINDOW_FRAMES)


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


def plan_segments(frames: int, segment_frames: int, overlap_frames: int) -> list[Segment]:
    """Segments of about ``segment_frames`` that cover ``[0, frames)`` without gaps.

    Where they are cut depends on nothing else, so that a part of a long video has the whole's segments.
    """
    grid = next((grid for grid in GRIDS_FRAMES if 4 * segment_frames >= 3 * grid), 1)
    length = round(segment_frames / grid) * grid
    cuts = [0, *range(length, frames - length // 4, length)]  # a short rest joins the last segment
    return [
        Segment(index=index, start=start, end=end, clip_end=min(end + overlap_frames, frames))
        for index, (start, end) in enumerate(zip(cuts, [*cuts[1:], frames], strict=True))
    ]


def segments_of(job: Job) -> list[Segment]:
    """Those of the whole timeline of a job."""
    length = max(1, int(segment_seconds(job.settings) * job.timeline.fps))
    return plan_segments(job.timeline.frames, length, job.settings.segments.overlap_frames)


def segment_seconds(settings: Settings) -> float:
    """About how long a segment is."""
    default = DIRECT_SECONDS if is_direct(settings.engine) else SEGMENT_SECONDS
    return settings.segments.segment_seconds or default


def write_segments(segments: Sequence[Segment], out: Path) -> None:
    """Write the (S, 3) int64 start, end and clip_end of segments, as ``job.Plan`` reads them."""
    np.save(out, np.array([[segment.start, segment.end, segment.clip_end] for segment in segments], np.int64))


def aligned_mouths(track: np.ndarray, resolution_px: int, out: Path) -> None:
    """Write the mouths of rows of a track in aligned pixels, (R, K, 2) float32, NaN without a face."""
    mouths = np.full((len(track), *track.dtype["mouth"].shape), np.nan, np.float32)
    for index in np.flatnonzero(track["face"]):
        mouths[index] = to_aligned(track["mouth"][index], track["matrix"][index], resolution_px)
    np.save(out, mouths)
