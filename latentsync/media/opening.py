"""The only way in: which kinds of files are opened as media, and that they open no others.

A playlist or script (HLS, DASH, ffconcat, image sequences) would make ffmpeg read whatever files or
addresses it names, so kinds of files are listed here by name, and ``file`` is the only protocol.
"""

from pathlib import Path
from typing import Any

import av
import ffmpeg
from av.container import InputContainer

# ffmpeg's demuxers that read one file and nothing that it names.
DEMUXERS = (
    "mov,matroska,webm,avi,flv,asf,mxf,mpegts,mpeg,mpegvideo,h264,hevc,m4v,av1,obu,ivf,dv,gif,apng,mjpeg,ogg,nut,gxf,"
    "yuv4mpegpipe,vc1,wav,w64,flac,aiff,caf,mp3,aac,ac3,eac3,amr,amrnb,amrwb,au,wv,ape,tta,dts,truehd,mlp,loas"
)
MAX_PIXELS = 8192 * 4320  # of one picture: level 6.2 of H.264 and HEVC ends there
CONTAINER_OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
OPTIONS = {**CONTAINER_OPTIONS, "max_pixels": str(MAX_PIXELS)}


def open_media(path: Path) -> InputContainer:
    """A file for PyAV; names and titles in it may be in any encoding. Raises ``av.FFmpegError``."""
    return av.open(_name(path), options=OPTIONS, metadata_errors="replace")


def media_input(path: Path, **options: str | int | None) -> Any:
    """A file as ffmpeg-python's input."""
    return ffmpeg.input(_name(path), **OPTIONS, **options)


def ffprobe_command(path: Path, *show: str) -> list[str]:
    """Command line that prints what ffprobe can ``show`` of a file as JSON."""
    options = [part for name, value in OPTIONS.items() for part in (f"-{name}", value)]
    return ["ffprobe", "-v", "error", *options, "-of", "json", *show, _name(path)]


def _name(path: Path) -> str:
    """``file:`` stands before the name, so that nothing in it is taken for a protocol."""
    return f"file:{path.absolute()}"
