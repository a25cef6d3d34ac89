"""Mutated small files of ten formats through the probe, and some through two rendered segments.

Every case must end by itself: read with the frames that it counts, or refused by an error of ours. Run by
``make fuzz``; a case that fails is printed with its format and number, and can be run again alone:
``python -m benchmarks.fuzz --format a.mkv --case 17``.
"""

import argparse
import faulthandler
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil

from latentsync.errors import InputError, TransientError
from latentsync.media.conform import prepare_video
from latentsync.media.decode import read_range
from latentsync.media.encode import VideoClipWriter
from latentsync.media.probe import probe_audio
from latentsync.records import VideoInfo
from latentsync.settings import EncodeSettings
from latentsync.stitching.join import join_clips
from tests.synthetic import H264, make_sound, make_video, tone

FPS = Fraction(25)
SECONDS_MAX = 20  # of one case
RENDER_EVERY = 20  # cases
VIDEO = ["-map", "0:v", "-map", "1:a", *H264, "-g", "10", "-c:a", "aac"]
FORMATS = {
    "a.mp4": VIDEO,
    "a.mkv": VIDEO,
    "a.ts": VIDEO,
    "a.flv": [*VIDEO, "-ar", "44100"],
    "a.avi": ["-map", "0:v", "-map", "1:a", "-c:v", "mpeg4", "-c:a", "mp3"],
    "a.webm": ["-map", "0:v", "-map", "1:a", "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"],
    "a.wav": [],
    "a.mp3": [],
    "a.ogg": ["-c:a", "libvorbis", "-page_duration", "20000"],
    "a.flac": [],
}


def main() -> int:
    """Run the cases; 1 when any of them failed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cases", type=int, default=300, help="of each format")
    options.add_argument("--format", choices=FORMATS, help="only this one")
    options.add_argument("--case", type=int, help="only the case of this number")
    asked = options.parse_args()
    logging.disable(logging.WARNING)
    began, outcomes, failures = time.monotonic(), Counter[str](), []
    with tempfile.TemporaryDirectory() as folder:
        for name in [asked.format] if asked.format else FORMATS:
            whole = _whole(Path(folder), name).read_bytes()
            for case in range(asked.cases) if asked.case is None else [asked.case]:
                path = Path(folder) / f"mutated{Path(name).suffix}"
                path.write_bytes(mutated(whole, random.Random(f"{name} {case}")))
                outcome = _tried(path, case)
                outcomes[f"{name}: {outcome.split(':')[0]}"] += 1
                if outcome.startswith("failed"):
                    failures.append(f"{name} case {case}: {outcome}")
                    print(failures[-1], flush=True)
    print(*(f"{count:6} {outcome}" for outcome, count in sorted(outcomes.items())), sep="\n")
    print(f"{outcomes.total()} cases in {time.monotonic() - began:.0f} s, {len(failures)} failed")
    return 1 if failures else 0


def mutated(whole: bytes, chance: random.Random) -> bytes:
    """Flip bits, write over, cut out, repeat or swap pieces, cut off; mostly in the header's first part."""
    data = bytearray(whole)
    for _ in range(chance.choice((1, 1, 2, 5, 30))):
        reach = chance.choice((64, 1024, len(data), len(data)))
        at, size = chance.randrange(max(1, min(reach, len(data)))), chance.choice((1, 4, 64, 1000))
        match chance.randrange(6):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at : at + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
            case 2:
                data[at : at + size] = chance.randbytes(size)
            case 3:
                del data[at : at + size]
            case 4:
                data[at:at] = data[at : at + size]
            case 5:
                del data[max(1, len(data) * chance.randrange(50, 100) // 100) :]
    return bytes(data)


def _whole(folder: Path, name: str) -> Path:
    if name in ("a.wav", "a.mp3", "a.ogg", "a.flac"):
        return make_sound(folder / name, 48_000, 48_000, 1, FORMATS[name])
    return make_video(folder / name, 25, 25, FORMATS[name], size=(256, 64), before=tone(1.0))


def _tried(path: Path, case: int) -> str:
    began = time.monotonic()
    faulthandler.dump_traceback_later(3 * SECONDS_MAX, exit=True)
    try:
        outcome = _looked_at(path, case)
    except Exception as error:
        outcome = f"failed: {type(error).__name__}: {error}"
    faulthandler.cancel_dump_traceback_later()
    if (seconds := time.monotonic() - began) > SECONDS_MAX:
        return f"failed: took {seconds:.0f} s ({outcome})"
    if left := [child.name() for child in psutil.Process().children() if _is_left(child)]:
        return f"failed: left {left} ({outcome})"
    return outcome


def _is_left(child: psutil.Process) -> bool:
    return child.name().startswith("ff") and child.status() != psutil.STATUS_ZOMBIE


def _looked_at(path: Path, case: int) -> str:
    try:
        if path.suffix in (".wav", ".mp3", ".ogg", ".flac"):
            probe_audio(path, 0)
            return "sound read"
        with tempfile.TemporaryDirectory() as work:
            video = prepare_video(path, FPS, Path(work), 0)
            if case % RENDER_EVERY or video.frames < 2:
                return "pictures described"
            _render_two_segments(path, Path(work), video)
            return "two segments rendered"
    except InputError as error:
        return f"refused: {error}"
    except TransientError as error:
        return f"passing failure: {error}"


def _render_two_segments(path: Path, work: Path, video: VideoInfo) -> None:
    cuts = [0, video.frames // 2, video.frames]
    clips = [work / f"{start}.mp4" for start in cuts[:-1]]
    for clip, start, stop in zip(clips, cuts[:-1], cuts[1:], strict=True):
        with VideoClipWriter(clip, video, stop - start, EncodeSettings(preset="ultrafast")) as writer:
            for frame in read_range(video, start, stop):
                writer.write(frame)
    join_clips(clips, np.diff(cuts).tolist(), FPS, work / "joined.mp4")


if __name__ == "__main__":
    sys.exit(main())
