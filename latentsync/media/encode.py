"""Writing clips: raw frames into ffmpeg, counted, and under their name only when whole.

Two kinds: ``VideoClipWriter`` encodes rendered frames once, lossily, with the source's colour tags,
depth and pixel shape; ``FaceClipWriter`` keeps aligned faces losslessly as RGB.
"""

import contextlib
from collections.abc import Generator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import cv2
import ffmpeg
import numpy as np

from latentsync.errors import InternalError
from latentsync.media.decode import read_raw
from latentsync.media.ffmpeg import QUIET, REPRODUCIBLE, Ffmpeg, run
from latentsync.media.frames import Frame
from latentsync.media.hdr import hdr_params
from latentsync.media.opening import open_media
from latentsync.media.pixels import layout_of, option_tags
from latentsync.records import VideoInfo
from latentsync.settings import EncodeSettings
from latentsync.storage.atomic import whole_file

FACES_FPS = Fraction(25)  # face clips are addressed by index; their nominal rate only has to be exact


class ClipWriter:
    """Encodes exactly ``frames`` raw frames to ``out``, whose suffix names the container; a context manager.

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
            output = ffmpeg.input("pipe:0", format="rawvideo", **raw).output(str(self._part), **coded, **REPRODUCIBLE)
            command = output.global_args(*QUIET, "-y").compile()
            self._process = stack.enter_context(
                Ffmpeg(command, self.out, stdin=True, blame=InternalError, writes=self._part)
            )
            self._stack = stack.pop_all()
        return self

    def write_planes(self, planes: Sequence[np.ndarray]) -> None:
        """Append one frame, plane by plane."""
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
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._process.finish()
            encoded = count_frames(self._part)
            if not self.frames == self.written == encoded:
                what = f"{self.frames} frames asked, {self.written} written, {encoded} encoded"
                raise self._process.error(what, InternalError)


class VideoClipWriter(ClipWriter):
    """Rendered frames in the one lossy encode; same settings give same headers, so the clips join.

    12-bit frames go to libx265, as H.264 ends at 10 bit.
    """

    def __init__(self, out: Path, video: VideoInfo, frames: int, encode: EncodeSettings, threads: int = 2):
        layout = layout_of(video)
        tags = option_tags(video)
        size = f"{video.width_px}x{video.height_px}"
        raw = {"pix_fmt": video.pix_fmt, "s": size, "framerate": str(video.fps), **tags}
        shape = {"vf": f"setsar={video.sample_aspect_ratio}", "pix_fmt": video.pix_fmt}
        too_deep = layout.bit_depth > 10 and encode.encoder == "libx264"
        encoder = "libx265" if too_deep else encode.encoder
        hdr = hdr_params(encoder, video.mastering_display, video.content_light)
        quality = _quality(encoder, encode.crf, encode.preset, hdr)
        super().__init__(out, frames, layout.frame_bytes, raw, {**shape, **tags, **quality, "threads": threads})

    def write(self, frame: Frame) -> None:
        """Append one frame of the video's size and format."""
        self.write_planes(frame.planes())


class FaceClipWriter(ClipWriter):
    """Aligned faces, (R, R, 3) uint8 RGB, without loss; read again by ``read_faces``. ``out`` is an .mkv.

    Ut Video: of ffmpeg's lossless codecs the fastest on faces (2.5 ms to write and 3.5 to read at 512 px;
    x264 4 and 5.4), a fifth smaller than x264's fastest, and every frame can be entered.
    """

    def __init__(self, out: Path, resolution_px: int, frames: int, threads: int = 2):
        size = f"{resolution_px}x{resolution_px}"
        raw = {"pix_fmt": "gbrp", "s": size, "framerate": str(FACES_FPS)}
        coded = {"c:v": "utvideo", "pred": "median", "threads": threads}
        super().__init__(out, frames, resolution_px**2 * 3, raw, coded)

    def write(self, face: np.ndarray) -> None:
        """Append one face (R, R, 3) uint8 RGB."""
        red, green, blue = cv2.split(face)
        self.write_planes((green, blue, red))


def read_faces(path: Path, start: int, stop: int, threads: int = 2) -> Generator[np.ndarray]:
    """Faces ``[start, stop)`` of a face clip by index: (R, R, 3) uint8 RGB, as they were written."""
    with open_media(path) as container:
        side = container.streams.video[0].width
    for buffer in read_raw(path, FACES_FPS, start, stop, ["format=gbrp"], side * side * 3, threads=threads):
        green, blue, red = buffer.reshape(3, side, side)
        yield cv2.merge([red, green, blue])


def encoder_works(name: str) -> bool:
    """Whether ffmpeg's encoder ``name`` really encodes a frame here; being listed is no proof.

    Raises TransientError when the trial was killed, which says nothing of the encoder.
    """
    picture = ffmpeg.input("color=size=256x256:rate=25", format="lavfi")
    output = picture.output("-", format="null", pix_fmt="yuv420p", **{"frames:v": 1, "c:v": name})
    try:
        run(output.global_args(*QUIET).compile(), Path(name), InternalError)
    except InternalError:
        return False
    return True


def count_frames(path: Path) -> int:
    """Packets of the video stream, without decoding; 0 when the file cannot be opened."""
    try:
        with open_media(path) as container:
            return sum(1 for packet in container.demux(video=0) if packet.size)
    except av.FFmpegError:
        return 0


def _quality(encoder: str, crf: int, preset: str, params: list[str]) -> dict[str, str | int]:
    if encoder.endswith("_nvenc"):
        return {"c:v": encoder, "preset": "p5", "rc": "vbr", "cq": crf, "b:v": 0}
    options: dict[str, str | int] = {"c:v": encoder, "preset": preset, "crf": crf}
    if encoder == "libx265":
        options |= {"tag:v": "hvc1"}
        params = ["log-level=error", "open-gop=0", *params]
    return options | ({f"{encoder.removeprefix('lib')}-params": ":".join(params)} if params else {})
