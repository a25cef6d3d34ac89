"""Writing clips: raw frames into ffmpeg, counted, and under their name only when whole.

Two kinds: ``final_clip`` encodes rendered frames once, lossily, with the source's colour tags, depth
and pixel shape; ``faces_clip`` keeps aligned faces losslessly as RGB, read again by ``read_faces``.
"""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import ffmpeg
import numpy as np

from latentsync.errors import InternalError, LipsyncError
from latentsync.frames import Frame
from latentsync.media.atomic import whole_file
from latentsync.media.decode import layout_of, read_raw
from latentsync.media.ffmpeg import QUIET, Ffmpeg, run
from latentsync.records import VideoInfo

FACES_FPS = Fraction(25)  # face clips are addressed by index; their nominal rate only has to be exact
FACES_GOP_FRAMES = 25
# ffprobe's names of transfer functions that ffmpeg's own -color_trc calls otherwise.
TRANSFER_OPTION = {"bt470m": "gamma22", "bt470bg": "gamma28"}


class ClipWriter:
    """Encodes exactly ``frames`` raw frames to ``out``; a context manager.

    ``raw`` and ``coded`` are ffmpeg's options of the raw input and of the output. Nothing appears at
    ``out`` unless all frames were written, encoded and counted again. Raises TransientError when
    ffmpeg is killed or the disk is full, InternalError when the count is wrong.
    """

    def __init__(self, out: Path, frames: int, frame_bytes: int, raw: dict[str, Any], coded: dict[str, Any]):
        self.out, self.frames, self.frame_bytes, self.written = out, frames, frame_bytes, 0
        self._options = raw, coded

    def __enter__(self) -> Self:
        raw, coded = self._options
        with contextlib.ExitStack() as stack:
            self._part = stack.enter_context(whole_file(self.out))
            output = ffmpeg.input("pipe:0", format="rawvideo", **raw).output(str(self._part), **coded)
            command = output.global_args(*QUIET, "-y").compile()
            self._process = stack.enter_context(Ffmpeg(command, self.out, stdin=True, blame=InternalError))
            self._stack = stack.pop_all()
        return self

    def write(self, frame: Frame | np.ndarray) -> None:
        """Append one frame: planar YUV, or (R, R, 3) uint8 RGB for faces."""
        planes = frame.planes() if isinstance(frame, Frame) else (frame,)
        size = sum(plane.nbytes for plane in planes)
        if size != self.frame_bytes:
            raise InternalError(f"{self.out}: a frame of {size} bytes, {self.frame_bytes} expected")
        try:
            for plane in planes:
                self._process.stdin.write(np.ascontiguousarray(plane).data)
        except OSError as error:
            raise self._process.error(f"stopped after {self.written} frames") from error
        self.written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack as stack:
            if error is not None:
                stack.__exit__(kind, error, trace)
                return
            self._process.finish()
            encoded = count_frames(self._part)
            if not self.frames == self.written == encoded:
                what = f"{self.frames} frames asked, {self.written} written, {encoded} encoded"
                raise self._process.error(what, InternalError)


def final_clip(
    out: Path, video: VideoInfo, frames: int, *, encoder: str, crf: int, preset: str, threads: int = 2
) -> ClipWriter:
    """Writer of rendered frames (.mp4): one lossy encode; same settings, same headers, so clips join.

    12-bit frames go to libx265, as H.264 ends at 10 bit.
    """
    layout = layout_of(video)
    if layout.bit_depth > 10 and encoder == "libx264":
        encoder = "libx265"
    tags = _colour_tags(video)
    size = f"{video.width_px}x{video.height_px}"
    raw = {"pix_fmt": video.pix_fmt, "s": size, "framerate": str(video.fps), **tags}
    coded = {
        "format": "mp4",
        "pix_fmt": video.pix_fmt,
        "vf": f"setsar={video.sample_aspect_ratio}",
        "threads": threads,
        **tags,
        **_quality(encoder, crf, preset),
    }
    return ClipWriter(out, frames, layout.frame_bytes, raw, coded)


def faces_clip(out: Path, resolution_px: int, frames: int, threads: int = 2) -> ClipWriter:
    """Writer of (R, R, 3) uint8 RGB faces (.mkv), lossless."""
    size = f"{resolution_px}x{resolution_px}"
    raw = {"pix_fmt": "rgb24", "s": size, "framerate": str(FACES_FPS)}
    coded = {"format": "matroska", "c:v": "libx264rgb", "preset": "ultrafast", "qp": 0, "g": FACES_GOP_FRAMES}
    return ClipWriter(out, frames, resolution_px**2 * 3, raw, coded | {"threads": threads})


def read_faces(path: Path, start: int, stop: int, threads: int = 2) -> Iterator[np.ndarray]:
    """Faces ``[start, stop)`` of a face clip by index: (R, R, 3) uint8 RGB, as they were written."""
    with av.open(str(path)) as container:
        side = container.streams.video[0].width
    for buffer in read_raw(path, FACES_FPS, start, stop, ["format=rgb24"], side * side * 3, threads=threads):
        yield buffer.reshape(side, side, 3)


def encoder_works(name: str) -> bool:
    """Whether ffmpeg's encoder ``name`` really encodes a frame here; being listed is no proof."""
    picture = ffmpeg.input("color=size=256x256:rate=25", format="lavfi")
    output = picture.output("-", format="null", pix_fmt="yuv420p", **{"frames:v": 1, "c:v": name})
    try:
        run(output.global_args(*QUIET).compile(), Path(name))
    except LipsyncError:
        return False
    return True


def count_frames(path: Path) -> int:
    """Packets of the video stream, without decoding; 0 when the file cannot be opened."""
    try:
        with av.open(str(path)) as container:
            return sum(1 for packet in container.demux(video=0) if packet.size)
    except av.FFmpegError:
        return 0


def _colour_tags(video: VideoInfo) -> dict[str, str]:
    """Tags to restate on both sides of the pipe, which drops them."""
    transfer = video.color_transfer
    tags = {
        "color_range": video.color_range,
        "colorspace": video.color_space,
        "color_primaries": video.color_primaries,
        "color_trc": TRANSFER_OPTION.get(transfer, transfer) if transfer else None,
    }
    return {name: value for name, value in tags.items() if value}


def _quality(encoder: str, crf: int, preset: str) -> dict[str, str | int]:
    if encoder.endswith("_nvenc"):
        return {"c:v": encoder, "preset": "p5", "rc": "vbr", "cq": crf, "b:v": 0}
    options: dict[str, str | int] = {"c:v": encoder, "preset": preset, "crf": crf}
    if encoder == "libx265":
        options |= {"tag:v": "hvc1", "x265-params": "log-level=error:open-gop=0"}
    return options
