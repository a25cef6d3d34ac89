"""What ffprobe says of a file, before anything is decoded; refuses what is no good."""

import json
import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from latentsync.errors import InputError, UnusableFile
from latentsync.media.bounds import refuse_fast, refuse_large, refuse_unbounded
from latentsync.media.ffmpeg import run
from latentsync.media.opening import ffprobe_command

# Demuxers that land on the key frame before the asked time: the others are read from the start.
ENTERABLE = {"mov", "matroska", "webm", "avi", "flv", "asf", "mxf"}
TOO_LARGE = re.compile(r"Picture size (\d+)x(\d+) is invalid")
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
        return bool(self._streams("audio"))

    def is_any_of(self, containers: set[str]) -> bool:
        """Whether the demuxer goes by one of these names."""
        return not containers.isdisjoint(self.container.split(","))

    def audio_stream(self) -> dict[str, Any]:
        """The default sound track; InputError when there is none that ffmpeg can decode."""
        if not self.has_audio:
            raise UnusableFile(f"{self.path}: has no sound; give an audio file, or a video with a sound track")
        stream = self._streams("audio")[0]
        if not (_has_codec(stream) and int(stream.get("sample_rate", 0)) and stream.get("channels")):
            raise UnusableFile(f"{self.path}: its sound cannot be decoded ({_codec(stream)}); convert it to WAV")
        return stream

    def video_stream(self) -> dict[str, Any]:
        """The default moving pictures; InputError when there are none that ffmpeg can decode."""
        if not self._streams("video"):
            what = "has sound only" if self.has_audio else "has neither moving pictures nor sound"
            raise UnusableFile(f"{self.path}: {what}; give a video file")
        stream = self._streams("video")[0]
        if not (_has_codec(stream) and "pix_fmt" in stream and stream.get("width") and stream.get("height")):
            why = f"its pictures cannot be decoded ({_codec(stream)})"
            raise UnusableFile(f"{self.path}: {why}; convert it to H.264, without copy protection")
        refuse_fast(self.path, nominal_rate(stream))
        return stream

    def _streams(self, kind: str) -> list[dict[str, Any]]:
        """Tracks of a kind, those that players choose first; covers are no moving pictures."""
        tracks = (each for each in self.streams if each.get("codec_type") == kind and not _flag(each, "attached_pic"))
        return sorted(tracks, key=lambda track: not _flag(track, "default"))


def _flag(stream: dict[str, Any], name: str) -> int:
    return stream.get("disposition", {}).get(name, 0)


def _has_codec(stream: dict[str, Any]) -> bool:
    return stream.get("codec_name") not in (None, "unknown")


def _codec(stream: dict[str, Any]) -> str:
    return f"codec {stream.get('codec_name')}, tag {stream.get('codec_tag_string')}"


def describe(path: Path) -> Description:
    """Ask ffprobe; refuses what is no readable media file, and what would make ffmpeg read another file."""
    path = path.absolute()
    refuse_no_file(path)
    try:
        found = json.loads(run(ffprobe_command(path, "-show_format", "-show_streams"), path, probing=True))
    except InputError as error:
        if unlisted := UNLISTED.search(str(error)):
            raise UnusableFile(f"{path}: {_unwanted(unlisted[1])}") from error
        if size := TOO_LARGE.search(str(error)):
            refuse_large(path, int(size[1]), int(size[2]))
        raise UnusableFile(f"{error}; this is no media file, or it is damaged or truncated: export it again") from error
    refuse_unbounded(path, found["format"], found["streams"])
    return Description(path, found["format"], found["streams"])


def refuse_no_file(path: Path) -> None:
    """Raise InputError unless ``path`` is a file that holds something."""
    shown = os.fsencode(path).decode(errors="backslashreplace")
    if shown != str(path):
        raise UnusableFile(f"{shown}: its name is not UTF-8; rename it")
    try:
        path.stat()
    except FileNotFoundError as error:
        raise UnusableFile(f"{path}: no such file; check the path") from error
    except (OSError, ValueError) as error:  # such as a loop of links, or a name of 5,000 characters
        raise UnusableFile(f"{shown[:200]!r}: cannot be opened ({error}); check the path") from error
    if not path.is_file():
        raise UnusableFile(f"{path}: is not a file; give one video or audio file")
    if not path.stat().st_size:
        raise UnusableFile(f"{path}: is empty (0 bytes); copy or export it again")


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
    rate = _rate(stream.get("avg_frame_rate")) or _rate(stream.get("r_frame_rate")) or STANDARD_RATES[1]
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(nearest - rate) * 100 < rate else rate.limit_denominator(1001)


def _rate(text: str | None) -> Fraction:
    above, _, below = (text or "0/0").partition("/")
    return Fraction(int(above), int(below)) if int(below) else Fraction(0)


def rotation(stream: dict[str, Any]) -> int:
    """Degrees, 0 to 359, that a player turns the pictures by."""
    angles = [int(side["rotation"]) for side in stream.get("side_data_list", []) if "rotation" in side]
    return angles[0] % 360 if angles else 0
