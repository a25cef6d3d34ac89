"""How much is taken in: limits on what headers say, checked before anything is decoded.

Without them a file of a few bytes could ask for years of work, or for all memory.
"""

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from latentsync.errors import UnusableFile
from latentsync.media.opening import MAX_PIXELS

MAX_SECONDS = 24 * 3600
MAX_SOURCE_FPS = 1000  # slow motion is recorded at up to this
FPS = (1, 240)  # of a timeline: those of the setting ``fps``
MAX_STREAMS = 64
MAX_EDITS = 200  # reading takes the square of their number: 2,000 take 18 s, 20,000 many minutes
MAX_CHANNELS = 8  # 7.1: AAC has no more in ffmpeg
SAMPLE_RATES_HZ = (1_000, 768_000)
MAX_HOLE_BYTES = 256 << 20  # of silence, which ffmpeg fills into a hole at once
SAMPLE_BYTES = 4
MP4_PARENTS = {b"moov", b"trak", b"edts"}


def refuse_unbounded(path: Path, format: dict[str, Any], streams: list[dict[str, Any]]) -> None:
    """Raise InputError for whatever passes a limit in ffprobe's ``format`` and ``streams``."""
    _at_most(path, len(streams), MAX_STREAMS, "streams", "export only picture and sound")
    for each in (format, *streams):
        refuse_long(path, Fraction(each.get("duration", 0)))
    for stream in streams:
        refuse_large(path, stream.get("width", 0), stream.get("height", 0))
        _at_most(path, stream.get("channels", 0), MAX_CHANNELS, "channels", "mix it down to stereo")
    if "mp4" in format["format_name"]:
        _at_most(path, max(_edit_counts(path), default=0), MAX_EDITS, "edits in its edit list", "export it again")


def refuse_large(path: Path, width: int, height: int) -> None:
    """Raise InputError when pictures have more than ``MAX_PIXELS``."""
    _at_most(path, width * height, MAX_PIXELS, f"pixels ({width}x{height})", "scale it down")


def refuse_long(path: Path, seconds: Fraction) -> None:
    """Raise InputError when a track lasts, or says that it lasts, more than ``MAX_SECONDS``."""
    _at_most(path, float(seconds), MAX_SECONDS, "seconds", "cut it into pieces")


def refuse_fast(path: Path, source_fps: Fraction) -> None:
    """Raise InputError when a video says that it has more than ``MAX_SOURCE_FPS`` frames/s."""
    _at_most(path, float(source_fps), MAX_SOURCE_FPS, "frames/s", "convert it: ffmpeg -r 25")


def refuse_timeline(path: Path, fps: Fraction) -> None:
    """Raise InputError when a source's own rate is none for a timeline."""
    if not FPS[0] <= fps <= FPS[1]:
        raise UnusableFile(f"{path}: {fps} frames/s are outside {FPS[0]}..{FPS[1]}; give --fps 25")


def refuse_odd_sound(path: Path, rate_hz: int, channels: int, longest_hole_seconds: Fraction) -> None:
    """Raise InputError for a sample rate out of bounds, or a hole too long to be filled with silence."""
    low, high = SAMPLE_RATES_HZ
    if not low <= rate_hz <= high:
        raise UnusableFile(f"{path}: its sound has {rate_hz} Hz, outside {low}..{high}; convert it: ffmpeg -ar 48000")
    seconds = MAX_HOLE_BYTES // (rate_hz * channels * SAMPLE_BYTES)
    _at_most(path, float(longest_hole_seconds), seconds, "seconds of nothing before or in its sound", "cut them out")


def _at_most(path: Path, value: float, limit: float, unit: str, remedy: str) -> None:
    if value > limit:
        raise UnusableFile(f"{path}: {value:.15g} {unit}, at most {limit:.15g} are accepted; {remedy}")


def _edit_counts(path: Path) -> Iterator[int]:
    """Entries of each edit list (ISO/IEC 14496-12, 8.6.6)."""
    with open(path, "rb") as file:
        yield from _edit_counts_within(file, 0, path.stat().st_size)


def _edit_counts_within(file: BinaryIO, start: int, end: int) -> Iterator[int]:
    while start + 16 <= end:
        file.seek(start)
        size, kind, large = struct.unpack(">I4sQ", file.read(16))
        content = start + (16 if size == 1 else 8)
        stop = min(end, start + {0: end - start, 1: large}.get(size, size))
        if kind == b"elst":
            yield large & 0xFFFFFFFF  # behind four bytes of version and flags
        elif kind in MP4_PARENTS:
            yield from _edit_counts_within(file, content, stop)
        if stop <= start:
            return
        start = stop
