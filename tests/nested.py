"""Containers that hold or name other files: AVI with a GAB2 chunk, Matroska that links segments."""

import struct
from collections.abc import Iterator
from pathlib import Path

SEEK_HEAD, CUES, VOID, INFO, CHAPTERS = 0x114D9B74, 0x1C53BB6B, 0xEC, 0x1549A966, 0x1043A770


def with_gab2(avi: Path, out: Path, text: bytes) -> Path:
    """``avi`` and a stream of subtitles, whose only chunk is the file ``text``: ffmpeg opens a demuxer for it."""
    ((_, riff),) = _chunks(avi.read_bytes())
    parts, number = dict[bytes, bytes](), 0
    for kind, data in _chunks(riff[4:]):
        if data[:4] == b"hdrl":
            number = sum(inner[:4] == b"strl" for _, inner in _chunks(data[4:]))
            avih, *rest = _chunks(data[4:])
            streams = avih[1][:24] + struct.pack("<I", number + 1) + avih[1][28:]
            strh = b"txts" + struct.pack("<4xIHHIIIIIIII8x", 0, 0, 0, 0, 1, 25, 0, 1, 0, 0xFFFFFFFF, 0)
            texts = _chunk(b"LIST", b"strl" + _chunk(b"strh", strh) + _chunk(b"strf", b""))
            first = [_chunk(*each) for each in rest if each[1][:4] == b"strl"]
            parts[b"hdrl"] = _chunk(kind, b"hdrl" + _chunk(b"avih", streams) + b"".join(first) + texts)
        if data[:4] == b"movi":
            name = "subtitles".encode("utf-16-le") + b"\0\0"
            gab2 = b"GAB2\0" + struct.pack("<HI", 2, len(name)) + name + struct.pack("<HI", 4, len(text)) + text
            parts[b"movi"] = _chunk(kind, b"movi" + _chunk(b"%02dtx" % number, gab2) + data[4:])
    out.write_bytes(_chunk(b"RIFF", b"AVI " + parts[b"hdrl"] + parts[b"movi"]))
    return out


def with_linked_segments(mkv: Path, out: Path, name: str) -> Path:
    """``mkv`` that says the file ``name`` comes before it, after it, and in an ordered chapter."""
    (head_kind, head), (kind, segment) = _elements(mkv.read_bytes())
    other, body = bytes(range(16)), b""
    seconds = _element(0x91, b"\0") + _element(0x92, (4 * 10**9).to_bytes(8, "big"))  # start and end of the chapter
    chapter = _element(0x73C4, b"\1") + seconds + _element(0x6E67, other) + _element(0x6EBC, b"\1")  # ChapterSegmentUID
    edition = _element(0x45BC, b"\1") + _element(0x45DB, b"\1") + _element(0x45DD, b"\1")  # default, ordered
    before, after = (0x3CB923, 0x3C83AB), (0x3EB923, 0x3E83BB)  # UID and file name
    for inner, data in _elements(segment):
        if inner == INFO:
            names = b"".join(_element(u, other) + _element(n, name.encode()) for u, n in (before, after))
            body += _element(INFO, data + names)
            body += _element(CHAPTERS, _element(0x45B9, edition + _element(0xB6, chapter)))
        elif inner not in (SEEK_HEAD, CUES, VOID):  # which tell offsets
            body += _element(inner, data)
    out.write_bytes(_element(head_kind, head) + _element(kind, body))
    return out


def _chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 4)[0]
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _element(kind: int, data: bytes) -> bytes:
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + (len(data) | 1 << 56).to_bytes(8, "big") + data


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        length = 9 - data[at].bit_length()
        kind = int.from_bytes(data[at : at + length], "big")
        at += length
        length = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + length], "big") ^ 1 << 7 * length
        at += length
        yield kind, data[at : at + size]
        at += size
