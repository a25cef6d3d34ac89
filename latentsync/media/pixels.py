"""Pixel formats: what a source is decoded to, how that lies in memory, which tags describe it."""

from typing import Any

import av

from latentsync.media.frames import PixelLayout
from latentsync.records import VideoInfo

FAMILIES = {"yuv420p": (1, 1), "yuv422p": (1, 0), "yuv444p": (0, 0)}  # chroma shifts x, y
MATRICES = {
    "bt709": "bt709",
    "smpte240m": "bt709",
    "smpte170m": "bt601",
    "bt470bg": "bt601",
    "fcc": "bt601",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
# ffprobe's names of transfer functions that ffmpeg's own -color_trc calls otherwise.
TRANSFER_OPTIONS = {"bt470m": "gamma22", "bt470bg": "gamma28"}


def layout_of(video: VideoInfo) -> PixelLayout:
    """How the frames of ``video`` lie in memory. An untagged matrix is BT.601 up to 576 lines, else BT.709."""
    family, _, depth = video.pix_fmt.removesuffix("le").partition("p")
    shift_x, shift_y = FAMILIES[f"{family}p"]
    assumed = "bt709" if video.width_px >= 1280 or video.height_px > 576 else "bt601"
    return PixelLayout(
        width=video.width_px,
        height=video.height_px,
        chroma_shift_x=shift_x,
        chroma_shift_y=shift_y,
        bit_depth=int(depth or 8),
        matrix=MATRICES.get(video.color_space or "", assumed),
        full_range=video.color_range == "pc",
    )


def planar_format(pix_fmt: str, width: int, height: int, rotation_degrees: int) -> str:
    """The planar YUV format that holds ``pix_fmt``: same chroma, 8, 10 or 12 bit.

    4:4:4 stands in for RGB and for what H.264 cannot code: odd sizes with halved chroma, 4:2:2 turned
    by 90 degrees. ``width`` and ``height`` are those before the rotation.
    """
    if rotation_degrees % 180:
        width, height = height, width
    family = _family(pix_fmt)
    shift_x, shift_y = FAMILIES[family]
    turned = shift_x != shift_y and rotation_degrees % 180
    if turned or (shift_x and width % 2) or (shift_y and height % 2):
        family = "yuv444p"
    depth = max(component.bits for component in av.VideoFormat(pix_fmt, 16, 16).components)
    return family + ("" if depth <= 8 else "10le" if depth <= 10 else "12le")


def source_tags(stream: dict[str, Any]) -> dict[str, str | None]:
    """Colour tags of ffprobe's ``stream`` that are true for its frames in ``planar_format``."""
    names = ("color_range", "color_space", "color_primaries", "color_transfer")
    tags = {name: None if stream.get(name) in ("unknown", "reserved") else stream.get(name) for name in names}
    if stream["pix_fmt"].startswith("yuvj"):
        tags["color_range"] = "pc"
    tags["chroma_location"] = None if stream.get("chroma_location") == "unspecified" else stream.get("chroma_location")
    if not _is_yuv(stream["pix_fmt"]):
        tags |= {"color_range": "tv", "color_space": "smpte170m", "chroma_location": None}  # what swscale makes of it
    return tags


def option_tags(video: VideoInfo) -> dict[str, str]:
    """The same tags as ffmpeg's options, to restate on both sides of a raw pipe, which drops them."""
    transfer = video.color_transfer
    tags = {
        "color_range": video.color_range,
        "colorspace": video.color_space,
        "color_primaries": video.color_primaries,
        "chroma_sample_location": video.chroma_location if video.pix_fmt.startswith("yuv420p") else None,
        "color_trc": TRANSFER_OPTIONS.get(transfer, transfer) if transfer else None,
    }
    return {name: value for name, value in tags.items() if value}


def _is_yuv(pix_fmt: str) -> bool:
    source = av.VideoFormat(pix_fmt, 16, 16)
    return not (source.is_rgb or source.has_palette) and len(source.components) >= 3


def _family(pix_fmt: str) -> str:
    source = av.VideoFormat(pix_fmt, 16, 16)
    if not _is_yuv(pix_fmt):
        grey = len(source.components) <= 2 and not source.has_palette and not source.is_rgb
        return "yuv420p" if grey else "yuv444p"
    shifts = ((16 // source.chroma_width()).bit_length() - 1, (16 // source.chroma_height()).bit_length() - 1)
    return next((family for family, known in FAMILIES.items() if known == shifts), "yuv444p")
