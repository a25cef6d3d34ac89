import numpy as np
import pytest

from latentsync.review.contact_sheet import contact_sheet
from tests.pictures import read_picture

RED, GREEN = (200, 10, 10), (10, 200, 10)


def plain(colour: tuple[int, int, int], height: int = 90, width: int = 160) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def test_the_source_is_above_the_result_in_true_colours(tmp_path):
    contact_sheet([("0", plain(RED), plain(GREEN))], tmp_path / "sheet.png", tile_width_px=80)
    column = read_picture(tmp_path / "sheet.png")[:, 40]
    colours = [tuple(int(value) for value in pixel) for pixel in column]
    assert colours.count(RED) == colours.count(GREEN) == 45
    assert colours.index(RED) < colours.index(GREEN)


def test_frames_run_in_rows_and_every_caption_is_its_own(tmp_path):
    frames = ((f"frame {index}", plain((index * 20, 0, 0)), plain((0, index * 20, 0))) for index in range(7))
    contact_sheet(frames, tmp_path / "sheet.png", columns=3, tile_width_px=80)
    sheet = read_picture(tmp_path / "sheet.png")
    assert sheet.shape[1] == 3 * 80 + 4 * 8
    height = (sheet.shape[0] - 4 * 8) // 3
    tiles = [
        sheet[8 + row * (height + 8) :][:height, 8 + column * 88 :][:, :80] for row in range(3) for column in range(3)
    ]
    for index, tile in enumerate(tiles[:7]):
        assert tuple(tile[-1, 40]) == (0, index * 20, 0)
    captions = {tile[:26].tobytes() for tile in tiles}
    assert len(captions) == 8  # seven different ones, and the blank of the two free places


def test_pictures_of_different_size_fit(tmp_path):
    frames = [
        ("tall", plain(RED, 200, 100), plain(RED, 200, 100)),
        ("wide", plain(RED), plain(GREEN, 100, 100)),
    ]
    contact_sheet(frames, tmp_path / "sheet.png", tile_width_px=50)
    assert read_picture(tmp_path / "sheet.png").shape == (26 + 200 + 2 * 8, 2 * 50 + 3 * 8, 3)


def test_no_frames_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no frames"):
        contact_sheet([], tmp_path / "sheet.png")
