import numpy as np
import pytest

from latentsync.segments.windows import cover, covering_batches, touching


def _grid(*ranges: tuple[int, int]) -> np.ndarray:
    return cover(ranges, np.ones(2000, bool), 10)


def test_windows_start_with_each_range():
    grid = _grid((0, 40), (50, 53), (60, 76))
    assert grid.tolist() == [[0, 16], [16, 32], [32, 40], [50, 53], [60, 76]]
    assert grid.dtype == np.int32
    assert _grid().shape == (0, 2)


def test_only_moving_frames_are_covered_by_full_windows_wherever_they_begin():
    moving = np.zeros(200, bool)
    moving[[30, 31, 44, 60, 120, 199]] = True
    # 60 is 14 frames after the window of 30..45; 120 begins anew; at the end there is room for one frame
    assert cover([(0, 200)], moving, 10).tolist() == [[30, 46], [60, 76], [120, 136], [199, 200]]
    assert cover([(0, 200)], moving, 15).tolist() == [[30, 46], [46, 62], [120, 136], [199, 200]]
    assert cover([(0, 25), (61, 119)], moving, 10).tolist() == []


def test_every_moving_frame_of_a_range_is_covered_once():
    random = np.random.default_rng(1)
    moving = np.repeat(random.random(100) < 0.3, 10)
    ranges = [(0, 333), (340, 350), (400, 1000)]
    count = np.zeros(1000, int)
    for start, end in cover(ranges, moving, 10):
        count[start:end] += 1
        assert any(first <= start < end <= last for first, last in ranges), "a window mixes faces and gaps"
    in_ranges = np.concatenate([np.arange(*pair) for pair in ranges])
    assert count.max() == 1
    assert (count[in_ranges][moving[in_ranges]] == 1).all()
    assert count[in_ranges].mean() < 0.8


def test_the_grid_begins_anew_with_each_block() -> None:
    long = _grid((5, 2000)).tolist()
    assert [501, 512] in long
    assert [512, 528] in long
    assert [window for window in long if window[0] >= 1024] == _grid((1024, 2000)).tolist()


@pytest.mark.parametrize("frames", [(0, 1003), (16, 32), (15, 17), (333, 400), (340, 341), (999, 1003), (1003, 1010)])
def test_touching_is_what_the_definition_says(frames):
    windows, (start, end) = _grid((0, 333), (400, 1003)), frames
    wanted = [[first, last] for first, last in windows if last > start and first < end]
    assert windows[touching(windows, start, end)].tolist() == wanted


@pytest.mark.parametrize("per_batch", [1, 2, 3, 4])
def test_a_window_meets_the_same_neighbours_whatever_the_segment(per_batch: int) -> None:
    windows = _grid((0, 333), (400, 1503))
    whole = {tuple(map(tuple, batch)) for batch in covering_batches(windows, 0, 1503, per_batch)}
    for start in range(0, 1003, 37):
        batches = covering_batches(windows, start, start + 90, per_batch)
        assert {tuple(map(tuple, batch)) for batch in batches} <= whole
        here = windows[(windows[:, 1] > start // 512 * 512) & (windows[:, 0] < start + 90 + 512)]  # all else unknown
        assert [*map(np.ndarray.tolist, covering_batches(here, start, start + 90, per_batch))] == [
            *map(np.ndarray.tolist, batches)
        ]
        frames = {n for batch in batches for first, last in batch for n in range(first, last)}
        wanted = {n for first, last in windows for n in range(first, last) if start <= n < start + 90}
        assert wanted <= frames


def test_no_batch_where_there_is_no_face() -> None:
    assert covering_batches(_grid((0, 333), (400, 1003)), 340, 399, 4) == []
