"""What ffprobe and the packets say of a file, before anything is decoded; refuses what is no good."""

import json
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from latentsync.errors import InputError
from latentsync.media.ffmpeg import run

# Demuxers that land on the key frame before the asked time: the others are read from the start.
ENTERABLE = {"mov", "matroska", "webm", "avi", "flv", "asf", "mxf"}
STATES_DURATION = {"mov", "matroska", "webm", "avi", "flv", "asf", "mxf", "wav", "w64", "flac", "aiff", "caf"}
SLACK_SECONDS = Fraction(1, 2)  # containers round durations, and the last sample may lack its own
RIFF_SLACK_BYTES = 1024  # some writers count their own header or padding
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
        if self.is_any_of({"tty"}):
            raise InputError(f"{self.path}: is a text file; give a video file")
        if self.container.endswith("_pipe") or self.is_any_of({"image2"}):
            how = "ffmpeg -loop 1 -i PICTURE -t 10 VIDEO.mp4"
            raise InputError(f"{self.path}: is a still picture; make a video of it: {how}")
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


@dataclass(frozen=True)
class Packets:
    """What a walk over all packets found, in seconds from the start of the file."""

    end_seconds: Fraction  # of the video stream
    longest_gop_seconds: Fraction
    clean_entry: bool  # the last key frame can be decoded without the frames before it


def describe(path: Path) -> Description:
    """Ask ffprobe; refuses what is no readable media file."""
    path = path.absolute()
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    if not path.is_file():
        raise InputError(f"{path}: is not a file; give one video or audio file")
    if not path.stat().st_size:
        raise InputError(f"{path}: is empty (0 bytes); copy or export it again")
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", str(path)]
    try:
        found = json.loads(run(command, path))
    except InputError as error:
        raise InputError(f"{error}; this is no media file, or it is damaged or truncated: export it again") from error
    return Description(path, found["format"], found.get("streams", []))


def enterable(found: Description) -> bool:
    """Whether the demuxer finds the way to a time in the middle: a known one, with an index."""
    return found.is_any_of(ENTERABLE) and "duration" in found.format


def walk_packets(found: Description, stream: dict[str, Any]) -> Packets:
    """Read all packets (no decoding) and describe those of ``stream``; refuses a truncated file."""
    index, broken = stream["index"], False
    tracks: dict[int, _Track] = {}
    try:
        with av.open(str(found.path)) as container:
            for packet in container.demux():
                if packet.size:
                    broken = packet.is_corrupt
                    tracks.setdefault(packet.stream_index, _Track()).add(packet)
            base = {each.index: each.time_base or Fraction(0) for each in container.streams}
            _refuse_truncated(found, max((t.end * base[i] for i, t in tracks.items()), default=Fraction(0)), broken)
            track = tracks.get(index, _Track())
            enters = stream["codec_type"] != "video" or track.last_key == track.first_key
            clean = enters or _enters_cleanly(container, index, track.last_key or 0)
            start = Fraction(container.start_time or 0, av.time_base)
    except av.FFmpegError as error:
        raise InputError(f"{found.path}: is damaged or truncated ({error}); copy or export it again") from error
    return Packets(track.end * base[index] - start, track.longest_gop * base[index], clean)


@dataclass
class _Track:
    """Running totals of one stream's packets, in its own time base."""

    end: int = 0
    first_key: int | None = None
    last_key: int | None = None
    longest_gop: int = 0

    def add(self, packet: av.Packet) -> None:
        time = packet.dts if packet.pts is None else packet.pts
        if time is None:
            return
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


def _enters_cleanly(container: InputContainer, index: int, key: int) -> bool:
    """Whether decoding from a key frame shows it at once; with intra refresh it takes a whole period."""
    stream = container.streams[index]
    try:
        container.seek(key, stream=stream)
        frame = next(container.decode(stream), None)
    except av.FFmpegError:
        return False
    return frame is not None and frame.pts is not None and frame.pts <= key
