import numpy as np

from latentsync.segments.crossfade import crossfade, fade_weight


def test_equal_faces_stay_as_they_are() -> None:
    face = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for position in range(16):
        assert (crossfade(face, face.copy(), position, 16) == face).all()


def test_it_goes_from_the_earlier_to_the_later_face_without_a_step_back() -> None:
    dark, bright = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    levels = [int(crossfade(dark, bright, position, 16)[0, 0, 0]) for position in range(16)]
    assert levels == sorted(levels)
    assert levels[:4] == [0] * 4
    assert levels[-4:] == [255] * 4
    assert levels[7] + levels[8] == 255


def test_falling_levels_round_like_rising_ones() -> None:
    dark, bright = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    for position in range(16):
        up, down = crossfade(dark, bright, position, 16), crossfade(bright, dark, position, 16)
        assert abs(int(up[0, 0, 0]) + int(down[0, 0, 0]) - 255) <= 1


def test_an_overlap_of_one_frame_is_half_of_each() -> None:
    assert fade_weight(0, 1) == 128
