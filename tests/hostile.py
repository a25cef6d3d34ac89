"""Files that mean harm, or were harmed: headers that lie, tracks that start in a thousand years.

Each maker writes one file from a good clip; `CORPUS` names them with what must happen.
"""

import random
import struct
from pathlib import Path

from tests.synthetic import ffmpeg, tone


def box(data: bytes | bytearray, *path: str) -> int:
    """Offset of the content of an MP4 box, the first of its name at each level of ``path``."""
    start, end = 0, len(data)
    for name in path:
        while True:
            size, kind = struct.unpack_from(">I4s", data, start)
            if kind == name.encode():
                break
            start += size
            assert start < end, f"no {name} in {path}"
        start, end = start + 8, start + size
    return start


def with_timescale(clip: Path, out: Path, timescale: int, delta: int) -> Path:
    """Say that the (first) track counts ``timescale`` units a second, and that each frame lasts ``delta``."""
    data = bytearray(clip.read_bytes())
    struct.pack_into(">I", data, box(data, "moov", "trak", "mdia", "mdhd") + 12, timescale)
    struct.pack_into(">I", data, box(data, "moov", "trak", "mdia", "minf", "stbl", "stts") + 12, delta)
    out.write_bytes(data)
    return out


def with_edits(clip: Path, out: Path, edits: int) -> Path:
    """Cut the (first) track into ``edits`` pieces by an edit list; ``clip`` has its moov box at the end."""
    data = bytearray(clip.read_bytes())
    content = box(data, "moov", "trak", "edts", "elst")
    before = struct.unpack_from(">I", data, content - 8)[0]
    entries = struct.pack(">II", 0, edits) + struct.pack(">IiI", 10, 1024, 0x10000) * edits
    data[content - 8 : content - 8 + before] = struct.pack(">I4s", 8 + len(entries), b"elst") + entries
    grown = 8 + len(entries) - before
    for parent in (["moov"], ["moov", "trak"], ["moov", "trak", "edts"]):
        at = box(data, *parent) - 8
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + grown)
    out.write_bytes(data)
    return out


def y4m(out: Path, width: int, height: int, rate: str) -> Path:
    """Ten frames' worth of bytes of a 64x48 picture, whatever the header says."""
    frame = b"FRAME\n" + bytes(64 * 48 * 3 // 2)
    out.write_bytes(f"YUV4MPEG2 W{width} H{height} F{rate} C420\n".encode() + frame * 10)
    return out


def late_sound(clip: Path, out: Path, seconds: int) -> Path:
    """Pictures from the start, sound after ``seconds``."""
    sound = ["-itsoffset", str(seconds), *tone(1.0)]
    ffmpeg("-i", clip, *sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "flac", out)
    return out


def many_streams(clip: Path, out: Path, count: int) -> Path:
    """The same pictures ``count`` times."""
    ffmpeg("-i", clip, *["-map", "0:v"] * count, "-c", "copy", "-frames:v", "2", out)
    return out


def with_latin1_title(clip: Path, out: Path) -> Path:
    """A title that is no UTF-8."""
    ffmpeg("-i", clip, "-c", "copy", "-metadata", "title=Gr@sse", out)
    out.write_bytes(out.read_bytes().replace(b"Gr@sse", b"Gr\xfcsse"))
    return out


def cut(whole: Path, out: Path, percent: int) -> Path:
    """The first ``percent`` of a file."""
    out.write_bytes(whole.read_bytes()[: whole.stat().st_size * percent // 100])
    return out


def with_flipped_bits(whole: Path, out: Path, bits: int) -> Path:
    """Some bits wrong in the middle of a file, always the same ones."""
    data, chosen = bytearray(whole.read_bytes()), random.Random(1)
    for _ in range(bits):
        data[chosen.randrange(len(data) // 20, len(data) * 8 // 10)] ^= 1 << chosen.randrange(8)
    out.write_bytes(data)
    return out


def with_samples(out: Path, *values: float) -> Path:
    """A second of silence in 32-bit floats at 16 kHz, which ends with ``values``."""
    pcm = struct.pack("<16000f", *[0.0] * (16_000 - len(values)), *values)
    ffmpeg("-f", "f32le", "-ar", "16000", "-ac", "1", "-i", "pipe:0", "-c:a", "pcm_f32le", out, stdin=pcm)
    return out
