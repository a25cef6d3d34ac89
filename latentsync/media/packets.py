"""What the packets of a file say, before anything is decoded: its length, its entry points, a lost end."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

from latentsync.errors import UnusableFile
from latentsync.media.bounds import refuse_long
from latentsync.media.container import Description
from latentsync.media.damage import WHOLE, Completeness, of
from latentsync.media.opening import open_media

STATES_DURATION = {"mov", "matroska", "webm", "avi", "flv", "asf", "mxf", "wav", "w64", "flac", "aiff", "caf"}
SLACK_SECONDS = Fraction(1, 2)  # containers round durations, and the last sample may lack its own


@dataclass(frozen=True)
class Packets:
    """What a walk over all packets found, in seconds from the start of the file."""

    end_seconds: Fraction  # of the video stream
    longest_gop_seconds: Fraction
    longest_hole_seconds: Fraction  # before the first packet, or between two
    count: int
    untimed: int  # packets without any time, such as of a Matroska file that begins before 0
    complete: Completeness  # of the whole file
    clean_entry: bool  # the last key frame can be decoded without the frames before it


def walk_packets(found: Description, stream: dict[str, Any]) -> Packets:
    """Read all packets (no decoding) and describe those of ``stream``. Raises InputError when they cannot be read."""
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
            last = max((t.end * base[i] for i, t in tracks.items()), default=Fraction(0))
            track = tracks.get(index, _Track())
            enters = not is_video or track.last_key == track.first_key
            clean = enters or _enters_cleanly(container, index, track.last_key or 0)
            start = Fraction(container.start_time or 0, av.time_base)
    except (av.FFmpegError, IndexError) as error:
        raise UnusableFile(f"{found.path}: is damaged or truncated ({error}); copy or export it again") from error
    unit = base.get(index, Fraction(0))
    refuse_long(found.path, track.end * unit - start)
    return Packets(
        end_seconds=track.end * unit - start,
        longest_gop_seconds=track.longest_gop * unit,
        longest_hole_seconds=max((track.first or 0) * unit - start, track.longest_hole * unit),
        count=track.count,
        untimed=track.untimed,
        clean_entry=clean,
        complete=_by_length(found, last, broken),
    )


@dataclass
class _Track:
    """Running totals of one stream's packets, in its own time base."""

    count: int = 0
    first: int | None = None
    end: int = 0
    longest_hole: int = 0
    first_key: int | None = None
    last_key: int | None = None
    longest_gop: int = 0
    untimed: int = 0

    def add(self, packet: av.Packet) -> None:
        self.count += 1
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


def _by_length(found: Description, end_seconds: Fraction, breaks_off: bool) -> Completeness:
    """``breaks_off``: the last packet is shorter than its header says (a transport stream may end anyhow)."""
    promised = Fraction(found.format.get("duration", 0))
    if not found.is_any_of(STATES_DURATION):
        lost = breaks_off and not found.is_any_of({"mpegts"})
        return Completeness(Fraction(0), "is truncated: its last packet breaks off") if lost else WHOLE
    return of(end_seconds, promised, "seconds") if end_seconds < promised - SLACK_SECONDS else WHOLE


def _enters_cleanly(container: InputContainer, index: int, key: int) -> bool:
    """Whether decoding from a key frame shows it at once; with intra refresh it takes a whole period."""
    stream = container.streams[index]
    try:
        container.seek(key, stream=stream)
        frame = next(container.decode(stream), None)
    except av.FFmpegError:
        return False
    return frame is not None and frame.pts is not None and frame.pts <= key
