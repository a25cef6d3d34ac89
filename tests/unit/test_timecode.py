from fractions import Fraction

import pytest

from latentsync.timecode import frame_at


@pytest.mark.parametrize(
    ("text", "fps", "frame"),
    [
        ("62.5", "25", 1562),
        ("1:02.5", "25", 1562),
        ("1:02:03", "25", 93075),
        ("01:02:03:12", "25", 93087),
        ("00:01:00:10", "30000/1001", 1810),  # labels count whole frames: 30 a second
        ("60", "30000/1001", 1798),
    ],
)
def test_places_are_read_as_people_write_them(text: str, fps: str, frame: int) -> None:
    assert frame_at(text, Fraction(fps)) == frame


@pytest.mark.parametrize("text", ["", "-1", "1:2:3:4:5", "soon", "1:", "1e3"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no place in a video"):
        frame_at(text, Fraction(25))
