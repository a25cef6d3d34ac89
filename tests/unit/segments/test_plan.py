from itertools import pairwise

import numpy as np
import pytest

from latentsync.segments.plan import BATCH_GRID, plan_segments


def _grid(*runs: tuple[int, int]) -> np.ndarray:
    windows = [(s, min(s + 16, end)) for start, end in runs for s in range(start, end, 16)]
    return np.array(windows, np.int32).reshape(-1, 2)


@pytest.mark.parametrize("segment_frames", [12, 50, 100, 500, 100_000])
@pytest.mark.parametrize("overlap", [0, 16])
def test_segments_cover_every_frame_once(segment_frames: int, overlap: int) -> None:
    segments = plan_segments(1003, _grid((0, 333), (400, 1003)), segment_frames, overlap)
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert segments[0].start == 0
    assert segments[-1].end == segments[-1].clip_end == 1003
    for before, after in pairwise(segments):
        assert before.end == after.start > before.start
        assert before.clip_end == min(before.end + overlap, 1003)


def test_cuts_lie_between_windows() -> None:
    windows = _grid((0, 333), (400, 1003))
    for segment in plan_segments(1003, windows, 50, 16)[1:]:
        assert not ((windows[:, 0] < segment.start) & (segment.start < windows[:, 1])).any()


def test_long_segments_are_cut_between_gpu_batches() -> None:
    windows = _grid((0, 5000))
    starts = [segment.start for segment in plan_segments(5000, windows, 500, 16)]
    assert all(start % (16 * BATCH_GRID) == 0 for start in starts)


def test_a_clip_without_a_face_is_cut_anywhere() -> None:
    assert [s.start for s in plan_segments(200, _grid(), 50, 16)] == [0, 50, 100, 150]


def test_a_short_rest_joins_the_last_segment() -> None:
    assert [s.end for s in plan_segments(230, _grid((0, 230)), 75, 16)][-2:] == [144, 230]
