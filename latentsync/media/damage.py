"""How much of a file is there: what its headers promise against what it holds. Nothing is decoded."""

import logging
import struct
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple

from latentsync.errors import UnusableFile

log = logging.getLogger(__name__)

MIN_COMPLETE_PERCENT = 95  # default of the setting of this name
RIFF_SLACK_BYTES = 1024  # some writers count their own header or padding
OGG_TAIL_BYTES = 1 << 17  # holds one page, of at most 65,307 bytes, and what precedes it
OGG_LAST_PAGE = 4  # flag of a page (RFC 3533, section 6)
EBML_HEADER, SEGMENT = 0x1A45DFA3, 0x18538067  # elements of Matroska (RFC 9559)


class Completeness(NamedTuple):
    """Which part is there, 0 when some is missing and nobody can tell how much, and how that shows."""

    part: Fraction
    why: str


WHOLE = Completeness(Fraction(1), "")


def refuse_incomplete(path: Path, found: Completeness, min_percent: int) -> None:
    """Raise InputError when less than ``min_percent`` of a file is there; else warn when some is missing."""
    if found.part >= 1:
        return
    remedy = f"copy or export it again, or take it as it is with a min_complete_percent below {min_percent}"
    if found.part * 100 < min_percent:
        raise UnusableFile(f"{path}: {found.why}, at least {min_percent} % must be there; {remedy}")
    log.warning("%s: %s", path, found.why)


def by_bytes(path: Path) -> Completeness:
    """What the headers say of the file's size, in the containers that say so; else ``WHOLE``."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(12)
        if start.startswith(b"OggS") and not _ends_with_last_page(file, size):
            return Completeness(Fraction(0), "is truncated: its last page is missing")
        if _breaks_off_in_a_packet(file, size):
            return Completeness(Fraction(0), "is truncated: it ends within a packet")
        promised = _riff_bytes(start) or _matroska_bytes(file) or _mp3_bytes(file)
    return of(size, promised, "bytes") if size < promised else WHOLE


def of(there: Fraction | int, promised: Fraction | int, unit: str, how: str = "is truncated") -> Completeness:
    """So much of so much."""
    part = Fraction(there) / Fraction(promised)
    why = f"{how}: {float(there):.10g} {unit} of {float(promised):.10g} ({100 * float(part):.1f} %)"
    return Completeness(part, why)


def _riff_bytes(start: bytes) -> int:
    """Least size that a RIFF file (.wav, .avi) has by its header; 0 when it is none or was streamed."""
    name, size = struct.unpack("<4sI", start[:8].ljust(8, b"\0"))
    return max(0, size - RIFF_SLACK_BYTES) if name == b"RIFF" and size != 0xFFFFFFFF else 0


def _matroska_bytes(file: BinaryIO) -> int:
    """Where the segment ends by its header; 0 when that was never filled in."""
    file.seek(0)
    if _number(file, keep_marker=True) != EBML_HEADER:
        return 0
    file.seek(_number(file), 1)
    if _number(file, keep_marker=True) != SEGMENT:
        return 0
    size = _number(file)
    unknown = size.bit_length() % 7 == 0 and size == (1 << size.bit_length()) - 1
    return 0 if unknown else file.tell() + size


def _number(file: BinaryIO, keep_marker: bool = False) -> int:
    """A number of EBML, whose leading zero bits count its further bytes; 0 at the end of the file."""
    first = int.from_bytes(file.read(1))
    length = 9 - first.bit_length()
    if length > 8:
        return 0
    value = int.from_bytes(bytes([first]) + file.read(length - 1))
    return value if keep_marker else value & ~(1 << 7 * length)


def _mp3_bytes(file: BinaryIO) -> int:
    """Size by the Xing or Info header of the first frame, behind an ID3 tag; 0 where there is none."""
    file.seek(0)
    tag = file.read(10)
    sizes = struct.unpack(">4B", tag[6:10].ljust(4, b"\0"))
    behind_tag = 10 + sum(part << shift for part, shift in zip(sizes, (21, 14, 7, 0), strict=True))
    start = behind_tag if tag[:3] == b"ID3" else 0
    file.seek(start)
    frame = file.read(2048)
    at = max(frame[:200].find(b"Xing"), frame[:200].find(b"Info"))
    if at < 0 or frame[:1] != b"\xff" or len(frame) < at + 16:
        return 0
    flags, first, second = struct.unpack_from(">III", frame, at + 4)
    if not flags & 2:  # bytes, behind the number of frames where that is given
        return 0
    return start + (second if flags & 1 else first)


def _ends_with_last_page(file: BinaryIO, size: int) -> bool:
    file.seek(max(0, size - OGG_TAIL_BYTES))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27:
        return False
    length = 27 + page[26] + sum(page[27 : 27 + page[26]])
    return bool(page[5] & OGG_LAST_PAGE) and len(page) >= length


def _breaks_off_in_a_packet(file: BinaryIO, size: int) -> bool:
    """Whether an MPEG transport stream, plain or with time codes, does not end with a packet."""
    file.seek(0)
    start = file.read(3 * 192)
    for length, offset in ((188, 0), (192, 4)):
        if start[offset::length][:3] == b"G" * 3:
            return size % length != 0
    return False
