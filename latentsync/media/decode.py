"""Frame-exact reading of any range of a video, at a cost that does not depend on the position.

The timeline is absolute: ``fps=...:start_time=0`` rounds every time stamp against 0, so after it the
time stamp IS the frame index, wherever the demuxer was entered. All readers go through
``range_stream``; mixing it with another reader would shift frames on some files.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from latentsync.errors import InputError, InternalError
from latentsync.media.damage import MIN_COMPLETE_PERCENT, of, refuse_incomplete
from latentsync.media.ffmpeg import QUIET, WATCHFUL, Ffmpeg
from latentsync.media.frames import Frame
from latentsync.media.opening import media_input
from latentsync.media.pixels import FAMILIES, layout_of
from latentsync.media.timeline import Timeline
from latentsync.records import VideoInfo

MARGIN_SECONDS = 1  # enter this much before the range: covers B-frames and open-GOP leading frames
REVERSE_BLOCK_BYTES = 96 << 20  # frames held while reading backwards


def read_range(video: VideoInfo, start: int, stop: int, threads: int = 2) -> Generator[Frame]:
    """Frames ``[start, stop)`` of the source on its output timeline, each in memory of its own.

    Raises InputError when the data cannot be decoded, TransientError when ffmpeg was killed, and
    InternalError when fewer frames come than ``video.frames`` promised. Close the generator to stop early.
    """
    layout = layout_of(video)
    filters = [pixel_format(video.pix_fmt, layout.full_range)]
    with closing(_read_source(video, start, stop, filters, layout.frame_bytes, threads)) as buffers:
        for buffer in buffers:
            yield Frame.from_buffer(buffer, layout)


def read_rgb(
    video: VideoInfo,
    start: int,
    stop: int,
    long_side_px: int,
    threads: int = 2,
    min_complete_percent: int = MIN_COMPLETE_PERCENT,
) -> tuple[float, Generator[np.ndarray]]:
    """Reduced frames for face detection: ``(scale, generator of (h, w, 3) uint8 RGB)``.

    The longer side has at most ``long_side_px``; ``scale`` = reduced size / original size.
    At the end, frames that were decoded with errors are told by a warning, or by an InputError when the
    video is thereby complete to less than ``min_complete_percent``.
    """
    scale, (width, height) = reduced(video, long_side_px)
    filters = [f"scale={width}:{height}:flags=area", "format=rgb24"]
    buffers = _read_source(
        video, start, stop, filters, width * height * 3, threads, _judge(video, min_complete_percent)
    )
    return scale, (buffer.reshape(height, width, 3) for buffer in buffers)


def _judge(video: VideoInfo, min_complete_percent: int) -> Callable[[int], None]:
    def judge(damaged: int) -> None:
        there = of(max(0, video.frames - damaged), video.frames, "frames", "is damaged")
        refuse_incomplete(video.file.path, there, min_complete_percent)

    return judge


def read_samples(
    video: VideoInfo, interval_seconds: Fraction, frames: int, long_side_px: int
) -> tuple[float, Generator[np.ndarray]]:
    """One reduced frame for every ``interval_seconds`` of source frames ``[0, frames)``, as ``read_rgb`` gives them.

    Sample k is the last decoded frame nearer to ``k * interval_seconds`` than to another sample's time.
    """
    scale, (width, height) = reduced(video, long_side_px)
    samples = ceil(frames / video.fps / interval_seconds)
    stream = media_input(video.file.path, threads=2)["V:0"]
    filters = [*on_timeline(1 / interval_seconds, 0, samples), f"scale={width}:{height}:flags=area", "format=rgb24"]
    return scale, _read_all(decode_command(stream, filters, format="rawvideo"), video.file.path, (height, width, 3))


def reduced(video: VideoInfo, long_side_px: int) -> tuple[float, tuple[int, int]]:
    """Scale and (width, height) at which the longer side has at most ``long_side_px``."""
    scale = min(1.0, long_side_px / max(video.width_px, video.height_px))
    return scale, (max(1, round(video.width_px * scale)), max(1, round(video.height_px * scale)))


def _read_all(command: list[str], path: Path, shape: tuple[int, ...]) -> Generator[np.ndarray]:
    """Frames of ``shape`` until there are no more."""
    with Ffmpeg(command, path, stdout=True) as process:
        while process.stdout.readinto(memoryview(buffer := np.empty(shape, np.uint8)).cast("B")) == buffer.nbytes:  # type: ignore[attr-defined]
            yield buffer
        process.finish()


def read_timeline(video: VideoInfo, timeline: Timeline, start: int, end: int, threads: int = 2) -> Generator[Frame]:
    """Output frames ``[start, end)``: the source cut, looped, bounced or held as the timeline says."""
    for run in timeline.runs(start, end):
        if run.step > 0:
            yield from read_range(video, run.source, run.source + run.frames, threads)
        elif run.step < 0:
            yield from _read_backwards(video, run.source, run.frames, threads)
        else:
            (frame,) = read_range(video, run.source, run.source + 1, threads)
            yield from (frame.copy() for _ in range(run.frames))


def _read_backwards(video: VideoInfo, source: int, frames: int, threads: int) -> Generator[Frame]:
    """Frames source, source - 1, ... in blocks that are read forwards, so that memory stays bounded."""
    block = max(2, REVERSE_BLOCK_BYTES // layout_of(video).frame_bytes)
    for stop in range(source + 1, source + 1 - frames, -block):
        start = max(stop - block, source + 1 - frames)
        held = list(read_range(video, start, stop, threads))
        while held:
            yield held.pop()


def range_stream(path: Path, index: int, fps: Fraction, start: int, sequential: bool, threads: int) -> Any:
    """Stream ``index`` of a file, entered ``MARGIN_SECONDS`` before frame ``start``, or at the beginning."""
    entry = start / fps - MARGIN_SECONDS
    options = {} if sequential or entry <= 0 else {"noaccurate_seek": None, "ss": f"{float(entry):.6f}"}
    return media_input(path, threads=threads, **options)[str(index)]


def on_timeline(fps: Fraction, start: int, stop: int | None) -> list[str]:
    """Filters that put frames on the absolute timeline and keep ``[start, stop)``."""
    end = "" if stop is None else f":end_pts={stop}"
    return [f"fps={fps}:start_time=0", f"trim=start_pts={start}{end}"]


def pixel_format(pix_fmt: str, full_range: bool) -> str:
    """Filter that delivers ``pix_fmt``; the old full-range names hold the same bytes, so let them pass."""
    also = f"|{pix_fmt.replace('yuv', 'yuvj')}" if full_range and pix_fmt in FAMILIES else ""
    return f"format={pix_fmt}{also}"


def decode_command(stream: Any, filters: list[str], log: Sequence[str] = QUIET, **options: str | int) -> list[str]:
    """Command line that writes the filtered frames of ``stream`` to stdout."""
    output = stream.output("pipe:1", vf=",".join(filters), fps_mode="passthrough", **options)
    return output.global_args(*log, "-copyts", "-start_at_zero").compile()


def read_raw(
    path: Path,
    fps: Fraction,
    start: int,
    stop: int,
    filters: list[str],
    frame_bytes: int,
    *,
    index: int = 0,
    sequential: bool = False,
    threads: int = 2,
    judge: Callable[[int], None] | None = None,
) -> Generator[np.ndarray]:
    """Filtered frames ``[start, stop)`` of stream ``index`` as flat uint8 buffers of ``frame_bytes``.

    Each is freshly allocated: that costs nothing measurable over a ring of reused ones, and a buffer
    cannot change under a reader. ``judge`` is told at the end how many frames were damaged.
    """
    if start == stop:
        return
    stream = range_stream(path, index, fps, start, sequential, threads)
    filters = [*on_timeline(fps, start, stop), *filters]
    log = WATCHFUL if judge else QUIET
    command = decode_command(stream, filters, log, format="rawvideo", **{"frames:v": stop - start})
    with Ffmpeg(command, path, stdout=True) as process:
        for index in range(start, stop):
            buffer = np.empty(frame_bytes, np.uint8)
            if process.stdout.readinto(memoryview(buffer)) != frame_bytes:  # type: ignore[attr-defined]
                raise _too_few(process, index - start, stop - start)
            yield buffer
        if judge:
            judge(process.damaged())


def _read_source(
    video: VideoInfo,
    start: int,
    stop: int,
    filters: list[str],
    frame_bytes: int,
    threads: int,
    judge: Callable[[int], None] | None = None,
) -> Generator[np.ndarray]:
    if not 0 <= start <= stop <= video.frames:
        raise InternalError(f"{video.file.path} has frames [0, {video.frames}), asked for [{start}, {stop})")
    how = {"index": video.stream, "sequential": video.sequential, "threads": threads, "judge": judge}
    return read_raw(video.file.path, video.fps, start, stop, filters, frame_bytes, **how)


def _too_few(process: Ffmpeg, got: int, asked: int) -> Exception:
    process.finish()
    blame = InputError if process.complaint() else InternalError
    return process.error(f"only {got} of {asked} frames could be read; the file is damaged or has changed", blame)
