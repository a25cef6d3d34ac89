"""Key frames now and then: hours of video are looked at for the price of the frames that are looked at."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import ceil
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from latentsync.errors import UnusableFile
from latentsync.media.decode import MARGIN_SECONDS, reduced
from latentsync.media.opening import open_media
from latentsync.records import VideoInfo


def read_key_frames(
    video: VideoInfo, interval_seconds: Fraction, frames: int, long_side_px: int
) -> tuple[float, Generator[np.ndarray]]:
    """One reduced frame for every ``interval_seconds`` of source frames ``[0, frames)``, as `decode` gives samples.

    Sample k is the last key frame up to ``k * interval_seconds`` that can be decoded, or the first one of all; only
    these are read, so the file must have an index. Raises InputError where none can be decoded.
    """
    scale, size_px = reduced(video, long_side_px)
    return scale, _samples(video, interval_seconds, ceil(frames / video.fps / interval_seconds), size_px)


@contextmanager
def quick_reads(video: VideoInfo) -> Iterator[Callable[[int], int]]:
    """Of a frame of the timeline, one not far from it to which `decode` comes from a key frame without detour."""
    if video.sequential:
        yield lambda frame: frame
        return
    with _opened(video) as (container, stream):

        def quick(frame: int) -> int:
            key = _enter(container, stream, frame / video.fps, is_first=True)
            seconds = Fraction(0) if key is None else (key.pts or 0) * (key.time_base or 1) - _start(container)
            return max(0, round(seconds * video.fps)) + ceil(MARGIN_SECONDS * video.fps) + 1

        yield quick


def _samples(
    video: VideoInfo, interval_seconds: Fraction, samples: int, size_px: tuple[int, int]
) -> Generator[np.ndarray]:
    turns = video.rotation_degrees // 90
    before_turning = size_px if turns % 2 == 0 else (size_px[1], size_px[0])
    rgb, shown = None, None
    with _opened(video) as (container, stream):
        stream.thread_type = "SLICE"  # threads for frames would wait for the next ones
        for sample in range(samples):
            key = _enter(container, stream, sample * interval_seconds, is_first=rgb is None)
            if key is not None and key.pts != shown:
                shown = key.pts
                rgb = _decoded(stream, key, before_turning, turns, rgb)
            if rgb is None:
                raise UnusableFile(f"{video.file.path}: no picture can be decoded; export it again")
            yield rgb


@contextmanager
def _opened(video: VideoInfo) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        with open_media(video.file.path) as container:
            yield container, cast(VideoStream, container.streams[video.stream])
    except av.FFmpegError as error:
        raise UnusableFile(f"{video.file.path}: is damaged ({error}); copy or export it again") from error


def _start(container: InputContainer) -> Fraction:
    return Fraction(container.start_time or 0, av.time_base)


def _enter(container: InputContainer, stream: VideoStream, seconds: Fraction, is_first: bool) -> av.Packet | None:
    """The last key frame's packet up to a time that counts from the start of the file, or the next for the first."""
    time = int((_start(container) + seconds) / (stream.time_base or 1))
    container.seek(time, stream=stream)
    key = next((packet for packet in container.demux(stream) if packet.is_keyframe), None)
    return key if key is None or is_first or (key.pts or 0) <= time else None


def _decoded(
    stream: VideoStream, key: av.Packet, size_px: tuple[int, int], turns: int, otherwise: np.ndarray | None
) -> np.ndarray | None:
    try:
        frames = [*stream.decode(key), *stream.decode(None)]
    except av.InvalidDataError:
        frames = []
    if not frames:
        return otherwise
    small = frames[0].reformat(width=size_px[0], height=size_px[1], format="rgb24", interpolation="AREA")
    return np.ascontiguousarray(np.rot90(small.to_ndarray(), turns))
