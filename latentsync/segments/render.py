"""Render one segment: crossfade the faces with the neighbour's, paste them, encode once."""

from collections.abc import Generator
from contextlib import ExitStack, closing
from itertools import islice

import numpy as np

from latentsync.faces.paste import FacePaster
from latentsync.media.encode import read_faces
from latentsync.media.frames import Frame
from latentsync.records import ClipFile, Segment
from latentsync.segments.crossfade import crossfade
from latentsync.segments.source import Source


def render_frames(source: Source, segment: Segment, clip: ClipFile, previous: ClipFile | None) -> Generator[Frame]:
    """Yield the finished frames of ``[segment.start, segment.end)``.

    ``clip`` holds the segment's faces, ``previous`` those of the segment before (None for the first):
    both have the first ``overlap`` frames. Outside the pasted face a frame is the source's, bit for bit.
    """
    rows, opacity = source.rows(segment.start, segment.end), source.opacity[segment.start : segment.end]
    paster = FacePaster(source.resolution_px, source.alignment)
    with ExitStack() as stack:
        frames = stack.enter_context(closing(source.read_frames(segment.start, segment.end)))
        faces = stack.enter_context(closing(blended_faces(segment, clip, previous)))
        for frame, face, row, share in zip(frames, faces, rows, opacity, strict=True):
            yield paster.paste(frame, face, row["matrix"], share / 255) if share else frame


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
