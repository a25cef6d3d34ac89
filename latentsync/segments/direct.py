"""Faces straight into the frames that they are made from: decoded once, and no clip between."""

from collections.abc import Generator
from contextlib import closing

from latentsync.engines.protocol import Session
from latentsync.faces.paste import FacePaster
from latentsync.media.frames import Frame
from latentsync.segments.faces import align_window
from latentsync.segments.source import Source


def direct_frames(source: Source, session: Session, start: int, end: int) -> Generator[Frame]:
    """Yield the finished frames ``[start, end)``; of an engine that is ``direct`` the same bits as by face clips."""
    rows, opacity = source.rows(start, end), source.opacity[start:end]
    paster = FacePaster(source.resolution_px, source.alignment)
    with closing(source.read_frames(start, end)) as frames:
        for position, (frame, row, share) in enumerate(zip(frames, rows, opacity, strict=True), start):
            if share:
                window = align_window(source, iter([frame]), position, position + 1)
                ((face,),) = session.generate([window])
                frame = paster.paste(frame, face, row["matrix"], share / 255)
            yield frame
