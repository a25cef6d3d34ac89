"""Places on the timeline as people write them: seconds, ``m:ss``, ``h:mm:ss.fff``, or a timecode ``hh:mm:ss:ff``."""

import re
from fractions import Fraction

PLACE = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)|(\d+):(\d\d):(\d\d)[:;](\d\d)")


def frame_at(text: str, fps: Fraction) -> int:
    """The frame that is shown at a place. Raises ValueError for a text that is none.

    A timecode counts frames as drop-frame labels do not: its last two digits are a frame of the second.
    """
    found = PLACE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no place in a video: give seconds, 1:02:03.5 or a timecode such as 01:02:03:12")
    hours, minutes, seconds, *timecode = found.groups()
    if timecode[0] is None:
        return int((3600 * int(hours or 0) + 60 * int(minutes or 0) + Fraction(seconds)) * fps)
    hours, minutes, seconds, frames = map(int, timecode)
    return (3600 * hours + 60 * minutes + seconds) * -(-fps.numerator // fps.denominator) + frames
