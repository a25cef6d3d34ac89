from itertools import pairwise

import pytest

from latentsync.segments.plan import plan_segments
from latentsync.segments.windows import BLOCK_FRAMES


@pytest.mark.parametrize("segment_frames", [1, 12, 50, 100, 500, 100_000])
@pytest.mark.parametrize("overlap", [0, 16])
def test_segments_cover_every_frame_once(segment_frames: int, overlap: int) -> None:
    segments = plan_segments(1003, segment_frames, overlap)
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert segments[0].start == 0
    assert segments[-1].end == segments[-1].clip_end == 1003
    for before, after in pairwise(segments):
        assert before.end == after.start > before.start
        assert before.clip_end == min(before.end + overlap, 1003)


@pytest.mark.parametrize(("segment_frames", "grid"), [(50, 16), (125, 128), (500, BLOCK_FRAMES), (1500, BLOCK_FRAMES)])
def test_cuts_lie_where_no_window_is_made_twice(segment_frames: int, grid: int) -> None:
    starts = [segment.start for segment in plan_segments(10_000, segment_frames, 16)]
    assert all(start % grid == 0 for start in starts)
    assert all(abs(here - before - segment_frames) <= grid // 2 for before, here in pairwise(starts))


def test_a_short_rest_joins_the_last_segment() -> None:
    assert [s.end for s in plan_segments(180, 80, 16)] == [80, 180]
