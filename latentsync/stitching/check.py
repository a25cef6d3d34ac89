"""The last look at a finished file, packet by packet; only the seams are decoded."""

from array import array
from collections.abc import Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from av.container import InputContainer

from latentsync.errors import InternalError
from latentsync.media.opening import open_media

AUDIO_SLACK_SAMPLES = 1024  # one AAC frame: what a container may round up


def check_output(
    path: Path,
    frames: int,
    fps: Fraction,
    width: int,
    height: int,
    clip_starts: Sequence[int],
    audio_seconds: Fraction | None,
) -> None:
    """Compare a finished file with what was promised.

    Checks size, N packets, one PTS step from 0, rising DTS, a key frame at each clip's start that
    decodes to its frame, and the length of the sound. Raises InternalError with both values.
    """
    with open_media(path) as container:
        stream = container.streams.video[0]
        _same(path, "size", (stream.codec_context.width, stream.codec_context.height), (width, height))
        _check_packets(path, container, frames, fps, clip_starts)
        for start in clip_starts:
            _check_seam(path, container, start, fps)
        _check_sound(path, container, audio_seconds)


def _check_packets(
    path: Path, container: InputContainer, frames: int, fps: Fraction, clip_starts: Sequence[int]
) -> None:
    shown, keys, last_dts, step = array("q"), set[int | float](), None, fps
    for packet in container.demux(video=0):
        if not packet.size:
            continue
        step = packet.time_base * fps
        shown.append(packet.pts or 0)
        if packet.is_keyframe:
            keys.add(_near_integer((packet.pts or 0) * step))
        if last_dts is not None and packet.dts is not None and packet.dts <= last_dts:
            raise InternalError(f"{path}: decoding time {packet.dts} follows {last_dts}")
        last_dts = packet.dts
    _same(path, "number of frames", len(shown), frames)
    steps = enumerate(_near_integer(pts * step) for pts in np.sort(shown).tolist())
    _same(path, "first frames that are out of step", list(islice((s for n, s in steps if s != n), 3)), [])
    _same(path, "clip starts without a key frame", sorted(set(clip_starts) - keys), [])


def _check_seam(path: Path, container: InputContainer, start: int, fps: Fraction) -> None:
    """Enter at the clip's first frame and decode it."""
    stream = container.streams.video[0]
    assert stream.time_base
    container.seek(round(start / fps / stream.time_base), stream=stream)  # Matroska rounds to milliseconds
    frame = next(container.decode(stream), None)
    shown = None if frame is None or frame.pts is None else _near_integer(frame.pts * stream.time_base * fps)
    _same(path, "frame decoded at a seam", shown, start)
    _same(path, f"damage in frame {start}", bool(frame and frame.is_corrupt), False)


def _check_sound(path: Path, container: InputContainer, audio_seconds: Fraction | None) -> None:
    sounds = container.streams.audio
    _same(path, "sound tracks", len(sounds), 0 if audio_seconds is None else 1)
    if audio_seconds is None:
        return
    container.seek(0)
    end = max(((p.pts or 0) + (p.duration or 0)) * p.time_base for p in container.demux(sounds[0]) if p.size)
    if abs(end - audio_seconds) * sounds[0].rate > AUDIO_SLACK_SAMPLES:
        raise InternalError(f"{path}: its sound lasts {float(end):.4f} s, {float(audio_seconds):.4f} s promised")


def _near_integer(index: Fraction) -> int | float:
    """The frame index of a time stamp; containers may round by up to a tenth of a frame."""
    return round(index) if abs(index - round(index)) < Fraction(1, 10) else float(index)


def _same(path: Path, what: str, found: object, promised: object) -> None:
    if found != promised:
        raise InternalError(f"{path}: {what}: {found}, promised {promised}")
