"""What the packets of a file say, before anything is decoded: its length, its entry points, a lost end."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from latentsync.errors import InputError
from latentsync.media.bounds import refuse_long
from latentsync.media.container import Description
from latentsync.media.opening import open_media

STATES_DURATION = {"mov", "matroska", "webm", "avi", "flv", "asf", "mxf", "wav", "w64", "flac", "aiff", "caf"}
SLACK_SECONDS = Fraction(1, 2)  # containers round durations, and the last sample may lack its own
RIFF_SLACK_BYTES = 1024  # some writers count their own header or padding


@dataclass(frozen=True)
class Packets:
    """What a walk over all packets found, in seconds from the start of the file."""

    end_seconds: Fraction  # of the video stream
    longest_gop_seconds: Fraction
    longest_hole_seconds: Fraction  # before the first packet, or between two
    untimed: int  # packets without any time, such as of a Matroska file that begins before 0
    clean_entry: bool  # the last key frame can be decoded without the frames before it


def walk_packets(found: Description, stream: dict[str, Any]) -> Packets:
    """Read all packets (no decoding) and describe those of ``stream``; refuses a truncated file."""
    index, broken = stream["index"], False
    is_video = stream["codec_type"] == "video"
    tracks: dict[int, _Track] = {}
    try:
        with open_media(found.path) as container:
            for packet in container.demux():
                if packet.size:
                    broken = packet.is_corrupt
                    tracks.setdefault(packet.stream_index, _Track()).add(packet)
            base = {each.index: each.time_base or Fraction(0) for each in container.streams}
            _refuse_truncated(found, max((t.end * base[i] for i, t in tracks.items()), default=Fraction(0)), broken)
            track = tracks.get(index, _Track())
            enters = not is_video or track.last_key == track.first_key
            clean = enters or _enters_cleanly(container, index, track.last_key or 0)
            start = Fraction(container.start_time or 0, av.time_base)
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{found.path}: is damaged or truncated ({error}); copy or export it again") from error
    unit = base.get(index, Fraction(0))
    refuse_long(found.path, track.end * unit - start)
    return Packets(
        end_seconds=track.end * unit - start,
        longest_gop_seconds=track.longest_gop * unit,
        longest_hole_seconds=max((track.first or 0) * unit - start, track.longest_hole * unit),
        untimed=track.untimed,
        clean_entry=clean,
    )


@dataclass
class _Track:
    """Running totals of one stream's packets, in its own time base."""

    first: int | None = None
    end: int = 0
    longest_hole: int = 0
    first_key: int | None = None
    last_key: int | None = None
    longest_gop: int = 0
    untimed: int = 0

    def add(self, packet: av.Packet) -> None:
        time = packet.dts if packet.pts is None else packet.pts
        if time is None:
            self.untimed += 1
            return
        if self.first is None:
            self.first = self.end = time
        self.longest_hole = max(self.longest_hole, time - self.end)
        self.end = max(self.end, time + (packet.duration or 0))
        if self.last_key is not None:
            self.longest_gop = max(self.longest_gop, time - self.last_key)
        if packet.is_keyframe:
            self.last_key = time
            self.first_key = time if self.first_key is None else self.first_key


def _refuse_truncated(found: Description, end_seconds: Fraction, broken: bool) -> None:
    """``broken``: the last packet is shorter than its header says (a transport stream may end anyhow)."""
    stated = found.is_any_of(STATES_DURATION) and found.format.get("duration")
    promised = Fraction(stated or 0)
    size = found.path.stat().st_size
    early = end_seconds < promised - SLACK_SECONDS or size < _riff_bytes(found.path)
    if early or (broken and not found.is_any_of({"wav", "mpegts"})):
        raise InputError(
            f"{found.path}: is truncated: {size} bytes hold {float(end_seconds):.2f} s "
            f"of {float(promised):.2f} s; copy or export it again"
        )


def _riff_bytes(path: Path) -> int:
    """Least size that a RIFF file (.wav, .avi) has by its header; 0 when it is no RIFF or was streamed."""
    with open(path, "rb") as file:
        name, size = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
    return size - RIFF_SLACK_BYTES if name == b"RIFF" and size != 0xFFFFFFFF else 0


def _enters_cleanly(container: InputContainer, index: int, key: int) -> bool:
    """Whether decoding from a key frame shows it at once; with intra refresh it takes a whole period."""
    stream = container.streams[index]
    try:
        container.seek(key, stream=stream)
        frame = next(container.decode(stream), None)
    except av.FFmpegError:
        return False
    return frame is not None and frame.pts is not None and frame.pts <= key
