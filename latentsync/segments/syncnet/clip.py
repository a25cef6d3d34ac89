"""LSE-D and LSE-C of a rendered segment."""

from collections.abc import Generator
from contextlib import closing
from math import isfinite

import numpy as np
from scipy.ndimage import median_filter

from latentsync.job import Job, Plan
from latentsync.media.decode import read_range
from latentsync.records import Artefact, Segment, VideoInfo
from latentsync.segments.source import Source
from latentsync.segments.syncnet.distance import face_crop, lse
from latentsync.segments.syncnet.network import load_syncnet
from latentsync.segments.syncnet.stretch import frames_at_its_rate, heard_samples, measured_frames

BOX_FRAMES = 13  # over which the published evaluation takes the median of the face's place


def clip_lse(
    job: Job, plan: Plan, segment: Segment, source: Source, clip: VideoInfo, weights: Artefact, sound: Artefact
) -> tuple[float | None, float | None]:
    """(LSE-D, LSE-C) of the rendered frames of a segment; None each where too little is seen or heard.

    Raises ``WeightsError`` for weights of another network, and as ``read_range`` does.
    """
    start, end = measured_frames(job, plan, segment)
    shown = frames_at_its_rate(end - start, job.timeline.fps)
    boxes = median_filter(source.rows(start, end)["box"], (BOX_FRAMES, 1), mode="nearest") if len(shown) else []
    faces = _faces(clip, start - segment.start, end - segment.start, np.asarray(boxes), shown)
    with closing(faces):
        found = lse(load_syncnet(weights.path), faces, heard_samples(job, (start, end), sound))
    distance, confidence = found or (None, None)
    return _finite(distance), _finite(confidence)


def _faces(clip: VideoInfo, start: int, end: int, boxes: np.ndarray, shown: np.ndarray) -> Generator[np.ndarray]:
    """Faces of the clip's frames ``[start, end)``, as often as their index is in ``shown``."""
    if not len(shown):
        return
    times = np.bincount(shown, minlength=end - start)
    with closing(read_range(clip, start, end)) as frames:
        for frame, box, count in zip(frames, boxes, times, strict=True):
            if count:
                face = face_crop(frame, box)
                for _ in range(count):
                    yield face


def _finite(figure: float | None) -> float | None:
    """None for what weights that are no numbers give."""
    return figure if figure is not None and isfinite(figure) else None
