"""Key frames now and then: hours of video are looked at for the price of the frames that are looked at."""

from collections.abc import Generator
from fractions import Fraction
from math import ceil
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from latentsync.errors import InputError
from latentsync.media.opening import open_media
from latentsync.records import VideoInfo


def read_key_frames(
    video: VideoInfo, interval_seconds: Fraction, frames: int, size_px: tuple[int, int]
) -> Generator[np.ndarray]:
    """One frame for every ``interval_seconds`` of source frames ``[0, frames)``, as (height, width, 3) uint8 RGB.

    Sample k is the last key frame up to ``k * interval_seconds`` that can be decoded, or the first one of all, reduced
    to ``size_px`` (width, height); only these are read, so the file must have an index. Raises InputError where none
    can be decoded.
    """
    turns = video.rotation_degrees // 90
    width, height = size_px if turns % 2 == 0 else size_px[::-1]
    rgb, shown = None, None
    try:
        with open_media(video.file.path) as container:
            stream = cast(VideoStream, container.streams[video.stream])
            stream.thread_type = "SLICE"  # threads for frames would wait for the next ones
            for sample in range(ceil(frames / video.fps / interval_seconds)):
                key = _enter(container, stream, sample * interval_seconds, is_first=rgb is None)
                if key is not None and key.pts != shown:
                    shown = key.pts
                    rgb = _decoded(stream, key, (width, height), turns, rgb)
                if rgb is None:
                    raise InputError(f"{video.file.path}: no picture can be decoded; export it again")
                yield rgb
    except av.FFmpegError as error:
        raise InputError(f"{video.file.path}: is damaged ({error}); copy or export it again") from error


def key_frame_before(video: VideoInfo, frame: int) -> int:
    """The last frame of the timeline up to ``frame`` at which decoding can begin. Raises InputError as above."""
    try:
        with open_media(video.file.path) as container:
            stream = cast(VideoStream, container.streams[video.stream])
            key = _enter(container, stream, frame / video.fps, is_first=True)
            start = Fraction(container.start_time or 0, av.time_base)
    except av.FFmpegError as error:
        raise InputError(f"{video.file.path}: is damaged ({error}); copy or export it again") from error
    if key is None or key.pts is None:
        return 0
    return max(0, round((key.pts * (key.time_base or Fraction(1)) - start) * video.fps))


def _enter(container: InputContainer, stream: VideoStream, seconds: Fraction, is_first: bool) -> av.Packet | None:
    """The last key frame's packet up to a time that counts from the start of the file, or the next for the first."""
    start = Fraction(container.start_time or 0, av.time_base)
    time = int((start + seconds) / (stream.time_base or 1))
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
