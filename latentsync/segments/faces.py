"""One segment of faces: aligned windows through an engine, one face per frame out."""

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import repeat
from queue import Queue

import numpy as np

from latentsync.engines.protocol import FaceWindow, Session, StreamingSession
from latentsync.faces.align import align_face, to_aligned
from latentsync.media.frames import Frame
from latentsync.segments.source import Source
from latentsync.segments.windows import covering_batches


def generate_faces(
    source: Source, session: Session, start: int, end: int, windows_per_batch: int
) -> Generator[np.ndarray]:
    """Yield exactly ``end - start`` faces (R, R, 3) uint8 RGB; black where no window covers a frame."""
    blank = np.zeros((source.resolution_px, source.resolution_px, 3), np.uint8)
    batches = covering_batches(source.windows, start, end, windows_per_batch)
    position = start
    with closing(_ahead(_aligned(source, batches))) as ready:
        made = session.stream(ready) if isinstance(session, StreamingSession) else map(session.generate, ready)
        for batch, new_faces in zip(batches, made, strict=True):
            for first, faces in zip(batch[:, 0], new_faces, strict=True):
                for frame, face in enumerate(faces, int(first)):
                    if start <= frame < end:
                        yield from repeat(blank, frame - position)
                        yield face
                        position = frame + 1
    yield from repeat(blank, end - position)


def _aligned(source: Source, batches: Sequence[np.ndarray]) -> Generator[list[FaceWindow]]:
    """Batches of aligned windows; frames outside the windows are not even decoded."""
    if not batches:
        return
    windows = _aligned_windows(source, np.concatenate(batches))
    for batch in batches:
        yield [next(windows) for _ in batch]


def _aligned_windows(source: Source, windows: np.ndarray) -> Generator[FaceWindow]:
    breaks = np.flatnonzero(windows[1:, 0] != windows[:-1, 1]) + 1
    for run in np.split(windows, breaks):
        with closing(source.read_frames(int(run[0, 0]), int(run[-1, 1]))) as frames:
            for start, end in run:
                yield align_window(source, frames, int(start), int(end))


def align_window(source: Source, frames: Iterator[Frame], start: int, end: int) -> FaceWindow:
    """The window ``[start, end)`` of the next ``frames``."""
    size = source.resolution_px
    rows = source.rows(start, end)
    faces = np.empty((end - start, size, size, 3), np.uint8)
    for face, row in zip(faces, rows, strict=True):
        face[:] = align_face(next(frames), row["matrix"], size, source.alignment)
    mouth = np.stack([to_aligned(row["mouth"], row["matrix"], size) for row in rows])
    return FaceWindow(start=start, faces=faces, mouth=mouth.astype(np.float32))


def _ahead(batches: Generator[list[FaceWindow]]) -> Generator[list[FaceWindow]]:
    """Prepare one batch in a thread while the engine works on the one before."""
    queue: Queue = Queue(maxsize=1)
    stop = threading.Event()

    def produce() -> None:
        try:
            for batch in batches:
                queue.put(batch)
                if stop.is_set():
                    return
            queue.put(None)
        except BaseException as error:  # handed over: the consumer raises it
            queue.put(error)
        finally:
            batches.close()

    thread = threading.Thread(target=produce, name="align-ahead", daemon=True)
    thread.start()
    try:
        while (item := queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        while thread.is_alive():
            if not queue.empty():
                queue.get()
            thread.join(timeout=0.05)
