"""What ffprobe says of a file, before anything is decoded; refuses what is no good."""

import json
import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from latentsync.errors import InputError
from latentsync.media.ffmpeg import run
from latentsync.media.opening import ffprobe_command

# Demuxers that land on the key frame before the asked time: the others are read from the start.
ENTERABLE = {"mov", "matroska", "webm", "avi", "flv", "asf", "mxf"}
UNLISTED = re.compile(r"\[(\S+)\] Format not on whitelist")
PLAYLISTS = {"hls", "dash", "webm_dash_manifest", "concat", "image2", "imf", "sdp", "rtsp", "rtp"}
STANDARD_RATES = [Fraction(rate) for rate in (24, 25, 30, 48, 50, 60, 120)]
STANDARD_RATES += [Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60, 120)]


@dataclass(frozen=True)
class Description:
    """What ffprobe says of a file."""

    path: Path
    format: dict[str, Any]
    streams: list[dict[str, Any]]

    @property
    def container(self) -> str:
        """ffmpeg's name of the demuxer, such as ``mov,mp4,m4a,3gp,3g2,mj2``."""
        return self.format["format_name"]

    @property
    def has_audio(self) -> bool:
        """Whether there is a sound track."""
        return any(stream["codec_type"] == "audio" for stream in self.streams)

    def is_any_of(self, containers: set[str]) -> bool:
        """Whether the demuxer goes by one of these names."""
        return not containers.isdisjoint(self.container.split(","))

    def audio_stream(self) -> dict[str, Any]:
        """The first sound track; InputError when there is none."""
        for stream in self.streams:
            if stream["codec_type"] == "audio":
                return stream
        raise InputError(f"{self.path}: has no sound; give an audio file, or a video with a sound track")

    def video_stream(self) -> dict[str, Any]:
        """The first moving pictures; InputError when there are none that ffmpeg can decode."""
        for stream in self.streams:
            if stream["codec_type"] == "video" and not stream["disposition"]["attached_pic"]:
                return self._decodable(stream)
        what = "has sound only" if self.has_audio else "has neither moving pictures nor sound"
        raise InputError(f"{self.path}: {what}; give a video file")

    def _decodable(self, stream: dict[str, Any]) -> dict[str, Any]:
        if stream.get("codec_name") in (None, "unknown") or "pix_fmt" not in stream:
            codec = f"codec {stream.get('codec_name')}, tag {stream.get('codec_tag_string')}"
            raise InputError(
                f"{self.path}: its pictures cannot be decoded ({codec}); convert it to H.264, without copy protection"
            )
        return stream


def describe(path: Path) -> Description:
    """Ask ffprobe; refuses what is no readable media file, and what would make ffmpeg read another file."""
    path = path.absolute()
    _refuse_no_file(path)
    try:
        found = json.loads(run(ffprobe_command(path, "-show_format", "-show_streams"), path, probing=True))
    except InputError as error:
        if unlisted := UNLISTED.search(str(error)):
            raise InputError(f"{path}: {_unwanted(unlisted[1])}") from error
        raise InputError(f"{error}; this is no media file, or it is damaged or truncated: export it again") from error
    return Description(path, found["format"], found.get("streams", []))


def _refuse_no_file(path: Path) -> None:
    shown = os.fsencode(path).decode(errors="backslashreplace")
    if shown != str(path):
        raise InputError(f"{shown}: its name is not UTF-8; rename it")
    try:
        path.stat()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except (OSError, ValueError) as error:  # such as a loop of links, or a name of 5,000 characters
        raise InputError(f"{shown[:200]!r}: cannot be opened ({error}); check the path") from error
    if not path.is_file():
        raise InputError(f"{path}: is not a file; give one video or audio file")
    if not path.stat().st_size:
        raise InputError(f"{path}: is empty (0 bytes); copy or export it again")


def _unwanted(demuxer: str) -> str:
    """What a file is that ffmpeg would open with a ``demuxer`` which is not listed in `opening`."""
    if demuxer in PLAYLISTS:
        return f"is a playlist or script ({demuxer}) that names other files; give the video or audio file itself"
    if demuxer.endswith("_pipe"):
        return "is a still picture; make a video of it: ffmpeg -loop 1 -i PICTURE -t 10 VIDEO.mp4"
    if demuxer == "tty":
        return "is a text file; give a video or audio file"
    return f"is of a kind that is not accepted ({demuxer}); convert it to MP4 or WAV"


def enterable(found: Description) -> bool:
    """Whether the demuxer finds the way to a time in the middle: a known one, with an index."""
    return found.is_any_of(ENTERABLE) and "duration" in found.format


def nominal_rate(stream: dict[str, Any]) -> Fraction:
    """The stream's average rate, taken as the nearest standard rate when within 1 % of it."""
    rate = Fraction(stream["avg_frame_rate"]) if stream["avg_frame_rate"] != "0/0" else Fraction(0)
    rate = rate or Fraction(stream["r_frame_rate"])
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(nearest - rate) * 100 < rate else rate.limit_denominator(1001)


def rotation(stream: dict[str, Any]) -> int:
    """Degrees, 0 to 359, that a player turns the pictures by."""
    angles = [int(side["rotation"]) for side in stream.get("side_data_list", []) if "rotation" in side]
    return angles[0] % 360 if angles else 0
