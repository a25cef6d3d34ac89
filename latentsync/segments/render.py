"""Render one segment: crossfade the faces with the neighbour's, paste them, encode once."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice

import numpy as np

from latentsync.faces.paste import FacePaster
from latentsync.media.encode import read_faces
from latentsync.media.frames import Frame
from latentsync.records import ClipFile, Segment
from latentsync.segments.crossfade import crossfade


@dataclass(frozen=True)
class RenderSource:
    """What a segment is rendered from; indexed by output frame."""

    read_frames: Callable[[int, int], Generator[Frame]]
    source_indices: Callable[[int, int], np.ndarray]
    track: np.ndarray  # (M,) faces.track.TRACK_DTYPE, by source frame
    windows: np.ndarray  # (W, 2) half-open output ranges: frames outside pass through untouched
    resolution_px: int


def render_frames(
    source: RenderSource, segment: Segment, clip: ClipFile, previous: ClipFile | None
) -> Generator[Frame]:
    """Yield the finished frames of ``[segment.start, segment.end)``.

    ``clip`` holds the segment's faces, ``previous`` those of the segment before (None for the first):
    both have the first ``overlap`` frames. Outside the pasted face a frame is the source's, bit for bit.
    """
    # Frames after the voice were not looked at for faces: no window covers them, any row will do.
    indices = np.minimum(source.source_indices(segment.start, segment.end), len(source.track) - 1)
    rows = source.track[indices]
    has_face = frames_in_windows(source.windows, segment.start, segment.end)
    paster = FacePaster(source.resolution_px)
    with ExitStack() as stack:
        frames = stack.enter_context(closing(source.read_frames(segment.start, segment.end)))
        faces = stack.enter_context(closing(blended_faces(segment, clip, previous)))
        for frame, face, row, pasted in zip(frames, faces, rows, has_face, strict=True):
            yield paster.paste(frame, face, row["matrix"]) if pasted else frame


def blended_faces(segment: Segment, clip: ClipFile, previous: ClipFile | None) -> Generator[np.ndarray]:
    """Yield the segment's faces (R, R, 3), its first frames crossfaded with the clip before."""
    path = clip.file.path
    overlap = min(previous.end - segment.start, segment.frames) if previous else 0
    with closing(read_faces(path, 0, segment.frames)) as faces:
        if previous and overlap:
            offset = segment.start - previous.start
            with closing(read_faces(previous.file.path, offset, offset + overlap)) as earlier:
                for position, (before, here) in enumerate(zip(earlier, islice(faces, overlap), strict=True)):
                    yield crossfade(before, here, position, overlap)
        yield from faces


def frames_in_windows(windows: np.ndarray, start: int, end: int) -> np.ndarray:
    """(end - start,) bool: which output frames lie in a window."""
    inside = np.zeros(end - start, bool)
    for first, last in windows[(windows[:, 1] > start) & (windows[:, 0] < end)]:
        inside[max(first - start, 0) : last - start] = True
    return inside
