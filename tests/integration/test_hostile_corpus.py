"""Every hostile input ends well: described with the right frames, or refused with exit 2, soon and in little memory."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile import (
    cut,
    late_sound,
    many_streams,
    with_edits,
    with_flipped_bits,
    with_latin1_title,
    with_samples,
    with_timescale,
    y4m,
)
from tests.synthetic import H264, ffmpeg, make_sound, make_video, tone

pytestmark = pytest.mark.slow
SECONDS_MAX = 20
MIB_MAX = 1024


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _loop(path: Path) -> Path:
    path.symlink_to(path.name)
    return path


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _generated(path: Path, source: str, *coding: str) -> Path:
    ffmpeg("-f", "lavfi", "-i", source, *coding, path)
    return path


def _video(path: Path, *coding: str, frames: int = 50, fps: int = 25) -> Path:
    return make_video(path, frames, fps, [*(coding or H264)])


def _named(name: str) -> Callable[[Path], Path]:
    return lambda to: _video(to / name)


def _two_sizes(to: Path) -> Path:
    """A picture that changes its size in the middle."""
    small, large = (make_video(to / f"{n}.h264", 25, 25, H264, size=(320 * n, 240 * n)) for n in (1, 2))
    _written(to / "a.h264", small.read_bytes() + large.read_bytes())
    ffmpeg("-i", to / "a.h264", "-c", "copy", to / "a.mkv")
    return to / "a.mkv"


def _pixels(name: str, pix_fmt: str, codec: str = "ffv1", *more: str) -> Callable[[Path], Path]:
    return lambda to: _video(to / name, "-c:v", codec, "-pix_fmt", pix_fmt, *more)


def _sound(seconds: float, rate_hz: int = 48_000, layout: str = "mono") -> Callable[[Path], Path]:
    return lambda to: _generated(to / "a.wav", f"anoisesrc=r={rate_hz}:d={seconds}", "-af", f"aformat=cl={layout}")


PROGRAM = """
import resource
from flows.cli.app import main
try:
    main()
finally:
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print("peak of", max(peaks) >> 10, "MiB")
"""

# Name: maker, and what the command says of a file that it accepts (None: it refuses the file).
CORPUS: dict[str, tuple[Callable[[Path], Path], str | None]] = {
    "a name with a new line": (_named("a\nb.mp4"), "50 frames"),
    "a name with quotes": (_named("a'b\"c.mp4"), "50 frames"),
    "a name with %": (_named("100%d%s.mp4"), "50 frames"),
    "a name with a dash first": (_named("-a.mp4"), "50 frames"),
    "a name of 255 bytes": (_named("x" * 251 + ".mp4"), "50 frames"),
    "a FIFO": (lambda to: _fifo(to / "a.mp4"), None),
    "a device": (lambda to: Path("/dev/zero"), None),
    "a loop of links": (lambda to: _loop(to / "a.mp4"), None),
    "a name of 5,000 bytes": (lambda to: to / ("x" * 5000), None),
    "no bytes": (lambda to: _written(to / "a.mp4", b""), None),
    "noise": (lambda to: _written(to / "a.mp4", bytes(range(256)) * 400), None),
    "a playlist": (lambda to: _written(to / "a.mp4", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"), None),
    "100,000 px": (lambda to: y4m(to / "a.y4m", 100_000, 100_000, "25:1"), None),
    "1,000,000 frames/s": (lambda to: y4m(to / "a.y4m", 64, 48, "1000000:1"), None),
    "33,817,291 frames/s": (lambda to: with_timescale(_video(to / "a.mp4"), to / "b.mp4", 33_817_291, 1), None),
    "20,000 edits": (lambda to: with_edits(_video(to / "a.mp4"), to / "b.mp4", 20_000), None),
    "65 streams": (lambda to: many_streams(_video(to / "a.mp4"), to / "a.mkv", 65), None),
    "no frames": (lambda to: _written(to / "a.y4m", b"YUV4MPEG2 W64 H48 F25:1 C420\n"), None),
    "one frame": (lambda to: _video(to / "a.mp4", frames=1), "1 frames"),
    "no moov box": (lambda to: cut(_video(to / "a.mp4"), to / "b.mp4", 90), None),
    "cut off": (lambda to: cut(_video(to / "a.mkv"), to / "b.mkv", 60), None),
    "flipped bits": (lambda to: with_flipped_bits(_video(to / "a.mp4"), to / "b.mp4", 200), "50 frames"),
    "a title in Latin-1": (lambda to: with_latin1_title(_video(to / "a.mp4"), to / "b.mp4"), "50 frames"),
    "two sizes": (_two_sizes, "50 frames"),
    "12 frames/s": (lambda to: _video(to / "a.mp4", fps=12), "50 frames"),
    "120 frames/s": (lambda to: _video(to / "a.mp4", fps=120), "50 frames"),
    "interlaced": (lambda to: _video(to / "a.mp4", *H264, "-flags", "+ildct+ilme"), "50 frames"),
    "4:2:2": (_pixels("a.mkv", "yuv422p"), "yuv422p"),
    "4:4:4": (_pixels("a.mkv", "yuv444p"), "yuv444p"),
    "alpha": (_pixels("a.mkv", "yuva420p"), "yuv420p"),
    "gray": (_pixels("a.mkv", "gray"), "yuv420p"),
    "10 bit": (_pixels("a.mp4", "yuv420p10le", "libx264"), "yuv420p10le"),
    "12 bit": (_pixels("a.mp4", "yuv420p12le", "libx265", "-x265-params", "log-level=none"), "yuv420p12le"),
    "full range": (_pixels("a.avi", "yuvj420p", "mjpeg"), "yuv420p pc"),
    "silence": (lambda to: _generated(to / "a.wav", "anullsrc=d=1"), "44100 samples"),
    "NaN": (lambda to: with_samples(to / "a.wav", float("nan")), None),
    "8 kHz": (_sound(1, 8_000), "8000 samples"),
    "192 kHz": (_sound(1, 192_000), "192000 samples"),
    "24 channels": (_sound(0.1, layout="22.2"), None),
    "10 ms": (_sound(0.01), "480 samples"),
    "two hours": (_sound(7200, 8_000), "57600000 samples"),
    "two sounds": (
        lambda to: make_video(to / "a.mkv", 50, 25, ["-map", "0", "-map", "1", "-map", "1"], before=tone(2)),
        "50",
    ),
    "sound after 80,000 s": (lambda to: late_sound(_video(to / "a.mp4"), to / "a.mkv", 80_000), "50 frames"),
    "clipped sound": (lambda to: with_samples(to / "a.wav", *[9.0] * 99), "16000 samples"),
    "5.1": (lambda to: make_sound(to / "a.wav", 4800, channels=6), "6 channels"),
}


@pytest.mark.parametrize("case", CORPUS)
def test_it_is_described_or_refused(tmp_path, case):
    make, said = CORPUS[case]
    path = make(tmp_path)
    command = [sys.executable, "-c", PROGRAM, "probe", "--", str(path)]
    with open(tmp_path / "output", "w+b") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            process.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        output.seek(0)
        printed = output.read().decode(errors="replace")
    assert "Traceback" not in printed
    assert process.returncode == (0 if said else 2), printed
    assert (said or "") in printed
    peak = re.search(r"peak of (\d+) MiB", printed)
    assert peak, printed
    assert int(peak[1]) < MIB_MAX
