"""Tiny test clips whose frames carry their own number, as a bar code that survives lossy coding.

``make_video(path, frames, fps, ...)`` paints frame ``n`` with ``bar_code(n)``; ``read_number`` finds
``n`` again in a decoded luma plane. ``HOSTILE`` names the clips that trouble naive readers.
"""

import subprocess
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

BITS = 16
BLOCK_PX = 16  # a bit is a square of 16x16 px: black 0, white 1
WIDTH_PX, HEIGHT_PX = 320, 240
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "20"]
CLICK_HZ = 1  # `make_sound` clicks at every full second


def ffmpeg(*args: str | Path, stdin: bytes | None = None) -> None:
    """Run ffmpeg quietly; its complaint is the test's failure."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, args)]
    if stdin is not None:
        command.remove("-nostdin")
    done = subprocess.run(command, input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def paint(number: int, width: int = WIDTH_PX, height: int = HEIGHT_PX) -> np.ndarray:
    """Luma (height, width) uint8 of frame ``number``: its bar code over a drifting texture."""
    rows, columns = np.mgrid[:height, :width]
    luma = (96 + 64 * np.sin((columns + 3 * number) / 17) * np.cos((rows - 2 * number) / 23)).astype(np.uint8)
    bits = [(number >> bit) & 1 for bit in range(BITS)]
    code = np.kron(np.array(bits, np.uint8) * 200 + 24, np.ones((BLOCK_PX, BLOCK_PX), np.uint8))
    luma[:BLOCK_PX, : BITS * BLOCK_PX] = code
    return luma


def read_number(luma: np.ndarray, bit_depth: int = 8) -> int:
    """The number in a decoded luma plane."""
    blocks = luma[:BLOCK_PX, : BITS * BLOCK_PX].reshape(BLOCK_PX, BITS, BLOCK_PX)
    inner = blocks[4:-4, :, 4:-4].astype(float).mean(axis=(0, 2)) / 2 ** (bit_depth - 8)
    return int(sum(1 << bit for bit, level in enumerate(inner) if level > 124))


def raw_frames(frames: int, width: int = WIDTH_PX, height: int = HEIGHT_PX) -> Iterator[bytes]:
    """Frames 0..frames-1 as yuv420p bytes with a slowly changing chroma."""
    chroma = (-(-height // 2), -(-width // 2))
    for number in range(frames):
        u = np.full(chroma, 108 + number % 40, np.uint8)
        v = np.full(chroma, 148 - number % 40, np.uint8)
        yield paint(number, width, height).tobytes() + u.tobytes() + v.tobytes()


def make_video(
    path: Path,
    frames: int = 100,
    fps: Fraction | int = 25,
    coding: list[str] | None = None,
    size: tuple[int, int] = (WIDTH_PX, HEIGHT_PX),
    before: list[str] | None = None,
) -> Path:
    """Write numbered frames; ``coding`` are ffmpeg's output options, ``before`` more inputs."""
    width, height = size
    ffmpeg(
        *["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}", "-r", str(Fraction(fps))],
        *["-i", "pipe:0", *(before or []), *(coding or H264), path],
        stdin=b"".join(raw_frames(frames, width, height)),
    )
    return path


def make_sound(
    path: Path, samples: int, rate_hz: int = 48_000, channels: int = 1, coding: list[str] | None = None
) -> Path:
    """Write a quiet tone with a click at the start of every second, of exactly ``samples`` samples."""
    time = np.arange(samples)
    wave = 0.05 * np.sin(2 * np.pi * 220 * time / rate_hz)
    wave[time % (rate_hz // CLICK_HZ) < 8] = 0.9
    pcm = (np.repeat(wave[:, None], channels, axis=1) * 32767).astype("<i2")
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    ffmpeg(
        *["-f", "s16le", "-ar", str(rate_hz), "-ac", str(channels), "-channel_layout", layout],
        *["-i", "pipe:0", *(coding or []), path],
        stdin=pcm.tobytes(),
    )
    return path


def tone(seconds: float, rate_hz: int = 48_000) -> list[str]:
    """A second input for `make_video`: a sound track beside the pictures."""
    return ["-f", "lavfi", "-i", f"sine=f=220:r={rate_hz}:d={seconds}"]


def _vfr(path: Path) -> None:
    """Every frame between 17 and 60 ms long."""
    jitter = "setpts=(N*40+13*sin(N*1.7)+9*mod(N\\,3))/1000/TB"
    make_video(path, 100, 25, [*H264, "-vf", f"settb=1/1000,{jitter}", "-fps_mode", "vfr", "-enc_time_base", "1/1000"])


def _hevc_open(path: Path) -> None:
    options = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "open-gop=1:keyint=25:log-level=none"]
    make_video(path, 100, 25, [*options, "-bf", "3"])


def _h264_open(path: Path) -> None:
    coding = ["-c:v", "libx264", "-preset", "veryfast", "-x264-params", "open-gop=1:keyint=25:bframes=3"]
    make_video(path, 100, 25, coding)


def _rotated(path: Path) -> None:
    plain = make_video(path.with_suffix(".plain.mp4"))
    ffmpeg("-i", plain, "-c", "copy", "-metadata:s:v:0", "rotate=90", path)


def _late_start(path: Path) -> None:
    """Sound from 0 s, pictures from 0.5 s."""
    plain = make_video(path.with_suffix(".plain.mp4"))
    streams = ["-map", "1:v", "-map", "0:a", "-c:v", "copy", "-c:a", "aac"]
    ffmpeg(*tone(4.5), "-itsoffset", "0.5", "-i", plain, *streams, path)


def _offset_mkv(path: Path) -> None:
    """The whole file starts at 7.3 s."""
    make_video(path, 100, 25, [*H264, "-g", "25", "-output_ts_offset", "7.3"])


def _edit_list(path: Path) -> None:
    """Cut by stream copy: begins inside a GOP, hidden by an edit list."""
    plain = make_video(path.with_suffix(".plain.mp4"), 130, 25, ["-c:v", "libx264", "-preset", "veryfast", "-g", "40"])
    ffmpeg("-ss", "1.0", "-i", plain, "-c", "copy", path)


def _transport_stream(path: Path) -> None:
    coding = ["-map", "0:v", "-map", "1:a", *H264, "-g", "30", "-c:a", "aac"]
    make_video(path, 100, 25, coding, before=tone(4.0))


def _hdr(path: Path) -> None:
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-pix_fmt", "yuv420p10le"]
    tags = ["-color_range", "tv", "-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", "smpte2084"]
    make_video(path, 100, 25, [*coding, *tags])


def _full_range(path: Path) -> None:
    make_video(path, 100, 25, ["-c:v", "mjpeg", "-q:v", "3"])


def _rate(fps: str) -> Callable[[Path], None]:
    return lambda path: make_video(path, int(4 * Fraction(fps)), Fraction(fps), [*H264, "-bf", "2"]) and None


HOSTILE: dict[str, Callable[[Path], object]] = {
    "23.976.mp4": _rate("24000/1001"),
    "25.mp4": _rate("25"),
    "29.97.mp4": _rate("30000/1001"),
    "30.mp4": _rate("30"),
    "50.mp4": _rate("50"),
    "60.mkv": _rate("60"),
    "vfr.mkv": _vfr,
    "hevc_open_gop.mp4": _hevc_open,
    "h264_open_gop.mp4": _h264_open,
    "rotated.mp4": _rotated,
    "odd_size.mkv": lambda path: make_video(path, 100, 25, ["-c:v", "ffv1"], size=(321, 241)),
    "late_start.mp4": _late_start,
    "offset.mkv": _offset_mkv,
    "edit_list.mp4": _edit_list,
    "stream.ts": _transport_stream,
    "hdr10.mp4": _hdr,
    "full_range.avi": _full_range,
    "single_gop.mp4": lambda path: make_video(path, 100, 25, [*H264, "-g", "9999", "-sc_threshold", "0"]),
    "vp9.webm": lambda path: make_video(path, 60, 25, ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-g", "30"]),
    "anamorphic.mp4": lambda path: make_video(path, 100, 25, [*H264, "-vf", "setsar=4/3"]),
}
