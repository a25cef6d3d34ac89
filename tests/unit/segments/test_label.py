"""The visible label: inside the picture at any size, legible, and nowhere else."""

import numpy as np
import pytest
from pydantic import ValidationError

from latentsync.media.frames import Frame, PixelLayout
from latentsync.segments.label import Label
from latentsync.settings import MarkSettings


@pytest.mark.parametrize("size", [(64, 64), (160, 284), (1080, 1920), (1921, 1081)])
@pytest.mark.parametrize(("shift", "depth"), [(1, 8), (1, 10), (0, 8)])
@pytest.mark.parametrize("text", ["AI", "The lips in this video were altered by a model"])
def test_it_is_legible_and_all_else_keeps_its_bits(size: tuple[int, int], shift: int, depth: int, text: str) -> None:
    layout = PixelLayout(*size, shift, shift, depth)
    raw = np.full(layout.frame_bytes, 77, np.uint8)
    frame = Frame.from_buffer(raw, layout)
    made = Label(text, layout).on(frame)
    assert (raw == 77).all()  # a frame may be shown twice
    unit = 2 ** (depth - 8)
    changed = np.argwhere(made.y != frame.y)
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0) + 1
    box = made.y[top:bottom, left:right]
    assert (box == 16 * unit).mean() > 0.3
    assert box.max() > 120 * unit
    assert top > size[1] / 2
    assert bottom - top >= 6
    for plane, shifts in ((made.u, shift), (made.v, shift)):
        inside = np.zeros(plane.shape, bool)
        inside[top >> shifts : bottom >> shifts, left >> shifts : right >> shifts] = True
        assert (plane[inside] == 128 * unit).all()
        assert (plane[~inside] == frame.u.flat[0]).all()


def test_it_is_as_high_as_a_twentieth_of_the_shorter_side() -> None:
    layout = PixelLayout(1920, 1080, 1, 1, 8)
    luma = Label("H", layout).on(Frame.from_buffer(np.full(layout.frame_bytes, 16, np.uint8), layout)).y
    rows = np.flatnonzero((luma > 100).any(axis=1))
    assert len(rows) == pytest.approx(54, abs=6)


def test_letters_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(ValidationError):
        MarkSettings(label="AI生成")
