"""Joining clips packet by packet on one integer timeline; nothing is decoded or encoded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from latentsync.errors import InternalError
from latentsync.media.opening import open_media
from latentsync.storage.atomic import whole_file
from latentsync.storage.disks import Growing


@dataclass(frozen=True)
class _Clip:
    path: Path
    frames: int
    extradata: bytes
    delay: int  # frames that decoding must run ahead of showing


def join_clips(clips: Sequence[Path], frame_counts: Sequence[int], fps: Fraction, out: Path) -> int:
    """Write the packets of all clips behind each other: frame n is shown at n / fps. Returns N.

    Raises InternalError when a clip has not as many frames as promised, or other codec headers
    (size, pixel shape, encoder settings) than the first.
    """
    surveyed = [_survey(path, frames, fps) for path, frames in zip(clips, frame_counts, strict=True)]
    for clip in surveyed:
        if clip.extradata != surveyed[0].extradata:
            raise InternalError(f"{clip.path}: its codec headers differ from those of {clips[0]}; render both alike")
    delay = max(clip.delay for clip in surveyed)
    with whole_file(out) as part:
        _write(surveyed, fps, delay, part)
    return sum(frame_counts)


def _write(clips: Sequence[_Clip], fps: Fraction, delay: int, out: Path) -> None:
    with av.open(str(out), "w") as container, open_media(clips[0].path) as first, Growing(out) as growing:
        stream = container.add_stream_from_template(first.streams.video[0])
        stream.time_base = 1 / fps
        start = 0
        for clip in clips:
            for order, (index, packet) in enumerate(_packets(clip.path, fps)):
                packet.stream = stream
                packet.time_base = 1 / fps
                packet.pts, packet.dts, packet.duration = start + index, start + order - delay, 1
                container.mux(packet)
                growing.settle()
            start += clip.frames


def _survey(path: Path, frames: int, fps: Fraction) -> _Clip:
    """Check one clip: each index once, and how far its decoding order runs ahead."""
    indices = [index for index, _ in _packets(path, fps)]
    if sorted(indices) != list(range(frames)):
        raise InternalError(f"{path}: holds {len(indices)} frames, not the {frames} promised, or gaps between them")
    with open_media(path) as container:
        extradata = bytes(container.streams.video[0].codec_context.extradata or b"")
    return _Clip(path, frames, extradata, max(order - index for order, index in enumerate(indices)))


def _packets(path: Path, fps: Fraction) -> Iterator[tuple[int, av.Packet]]:
    """Packets in decoding order, each with the index of its frame within the clip."""
    with open_media(path) as container:
        for packet in container.demux(video=0):
            if packet.size:
                yield round((packet.pts or 0) * packet.time_base * fps), packet
