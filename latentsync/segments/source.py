"""What the frames of a segment are made from."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np

from latentsync.engines.registry import resolution_px
from latentsync.faces.alignment import LATENTSYNC_ALIGNMENT, Alignment
from latentsync.job import Job, Plan
from latentsync.media.frames import Frame


@dataclass(frozen=True)
class Source:
    """The source's frames and where its face is; everything is indexed by output frame."""

    read_frames: Callable[[int, int], Generator[Frame]]  # output range [start, end) -> its frames
    source_indices: Callable[[int, int], np.ndarray]  # output range -> source frame of each
    track: np.ndarray  # (M,) faces.track.TRACK_DTYPE, by source frame
    windows: np.ndarray  # (W, 2) half-open output ranges in which faces are generated
    opacity: np.ndarray  # (N,) uint8: how much of the new face each output frame gets; 0: the source's pixels
    resolution_px: int
    alignment: Alignment = LATENTSYNC_ALIGNMENT

    @classmethod
    def of(cls, job: Job, plan: Plan) -> "Source":
        """The source of a job as it is planned; its arrays are memory-mapped."""
        from latentsync.media.decode import read_timeline  # PyAV, which machines that only generate may lack

        return cls(
            read_frames=lambda start, end: read_timeline(job.video, job.timeline, start, end),
            source_indices=job.timeline.source_indices,
            track=plan.open_track(),
            windows=plan.window_grid,
            opacity=plan.open_opacity(),
            resolution_px=resolution_px(job.settings.engine),
            alignment=job.settings.engine.spec.alignment,
        )

    def rows(self, start: int, end: int) -> np.ndarray:
        """The track's rows of output frames ``[start, end)``.

        Frames after the voice were not looked at for faces: no window covers them, and any row will do.
        """
        return self.track[np.minimum(self.source_indices(start, end), len(self.track) - 1)]
