import numpy as np
import pytest

from latentsync.media.frames import Frame, PixelLayout, region_rgb


def _layout(**changes: object) -> PixelLayout:
    values = {"width": 8, "height": 6, "chroma_shift_x": 1, "chroma_shift_y": 1, "bit_depth": 8}
    return PixelLayout(**{**values, **changes})


def _frame(layout: PixelLayout, y: int, u: int, v: int) -> Frame:
    buffer = np.zeros(layout.frame_bytes, np.uint8)
    frame = Frame.from_buffer(buffer, layout)
    for plane, value in zip(frame.planes(), (y, u, v), strict=True):
        plane[:] = value
    return frame


@pytest.mark.parametrize(
    ("matrix", "yuv", "rgb"),
    [
        ("bt709", (16, 128, 128), (0, 0, 0)),
        ("bt709", (235, 128, 128), (255, 255, 255)),
        ("bt709", (63, 102, 240), (255, 0, 0)),  # ITU-R BT.709 100 % red
        ("bt601", (81, 90, 240), (255, 0, 0)),  # ITU-R BT.601 100 % red
        ("bt601", (41, 240, 110), (0, 0, 255)),
    ],
)
def test_known_colours(matrix: str, yuv: tuple[int, int, int], rgb: tuple[int, int, int]) -> None:
    picture = region_rgb(_frame(_layout(matrix=matrix), *yuv), 0, 0, 8, 6)
    assert np.abs(picture.astype(int) - rgb).max() <= 2


@pytest.mark.parametrize("bit_depth", [8, 10, 12])
@pytest.mark.parametrize("full_range", [False, True])
def test_from_rgb_undoes_to_rgb(bit_depth: int, full_range: bool) -> None:
    layout = _layout(bit_depth=bit_depth, full_range=full_range)
    rgb = np.array([200.0, 30.0, 90.0, 1.0])
    yuv = np.append(layout.from_rgb @ rgb, 1.0)
    np.testing.assert_allclose(layout.to_rgb @ yuv, rgb[:3], atol=1e-9)


def test_ten_bit_white_is_white() -> None:
    picture = region_rgb(_frame(_layout(bit_depth=10), 940, 512, 512), 2, 2, 8, 6)
    assert picture.shape == (4, 6, 3)
    assert (picture == 255).all()


def test_odd_sizes_round_chroma_up() -> None:
    layout = _layout(width=7, height=5)
    assert (layout.chroma_width, layout.chroma_height) == (4, 3)
    assert layout.frame_bytes == 7 * 5 + 2 * 4 * 3
    assert region_rgb(_frame(layout, 126, 128, 128), 0, 0, 7, 5).shape == (5, 7, 3)


def test_planes_are_views_of_the_buffer() -> None:
    layout = _layout()
    buffer = np.arange(layout.frame_bytes, dtype=np.uint8)
    frame = Frame.from_buffer(buffer, layout)
    assert all(np.shares_memory(plane, buffer) for plane in frame.planes())
    assert b"".join(plane.tobytes() for plane in frame.planes()) == buffer.tobytes()
