"""HDR10's static metadata: what the pictures were mastered on, and how light they get (SMPTE ST 2086, CTA-861.3)."""

import struct
from fractions import Fraction
from typing import Any

import av

from latentsync.media.container import Description
from latentsync.media.opening import open_media

HDR_TRANSFERS = {"smpte2084", "arib-std-b67"}
CHROMATICITY_UNIT, LUMINANCE_UNIT = Fraction(1, 50_000), Fraction(1, 10_000)  # the latter in cd/m2
PARAMS = {"libx264": ("mastering-display", "cll"), "libx265": ("master-display", "max-cll")}


def hdr_metadata(found: Description, stream: dict[str, Any]) -> dict[str, str | None]:
    """``mastering_display`` and ``content_light`` of a stream, as x264 and x265 write them; None where it has none.

    The first frame is decoded to see, by PyAV: ffmpeg reads those of H.264 from version 7 on only.
    """
    data: dict[str, bytes] = {}
    if stream.get("color_transfer") in HDR_TRANSFERS:
        try:
            with open_media(found.path) as container:
                frame = next(container.decode(container.streams[stream["index"]]), None)
                data = {side.type.name: bytes(side) for side in frame.side_data} if frame else {}
        except av.FFmpegError:
            data = {}  # the reader of all frames says what is wrong
    display, light = data.get("MASTERING_DISPLAY_METADATA"), data.get("CONTENT_LIGHT_LEVEL")
    return {
        "mastering_display": _display(display) if display else None,
        "content_light": "{},{}".format(*struct.unpack_from("=2I", light)) if light else None,
    }


def hdr_params(encoder: str, mastering_display: str | None, content_light: str | None) -> list[str]:
    """The same as parameters of libx264 or libx265; other encoders take none from a raw pipe."""
    given = zip(PARAMS.get(encoder, ()), (mastering_display, content_light), strict=False)
    params = [f"{name}={value}" for name, value in given if value]
    if params and encoder == "libx264":
        params.append("repeat-headers=1")  # else it writes none
    return params


def _display(data: bytes) -> str | None:
    """From libavutil's AVMasteringDisplayMetadata: ten rational numbers, and which of them count."""
    *numbers, has_primaries, has_luminance = struct.unpack_from("=22i", data)
    if not (has_primaries and has_luminance and all(numbers[1::2])):
        return None
    values = [Fraction(above, below) for above, below in zip(numbers[::2], numbers[1::2], strict=True)]
    points, (darkest, lightest) = values[:8], values[8:]
    red, green, blue, white = (_counts(points[at : at + 2], CHROMATICITY_UNIT) for at in (0, 2, 4, 6))
    return f"G{green}B{blue}R{red}WP{white}L{_counts([lightest, darkest], LUMINANCE_UNIT)}"


def _counts(values: list[Fraction], unit: Fraction) -> str:
    return f"({','.join(str(round(value / unit)) for value in values)})"
