"""What a job is, once its inputs have been looked at, and how it is cut up."""

from functools import cached_property

import numpy as np

from latentsync.media.timeline import Timeline
from latentsync.records import Artefact, AudioInfo, ClipFile, Record, Segment, VideoInfo
from latentsync.settings import Settings


class Job(Record):
    """Probed inputs, the timeline and the settings. Frame and sample counts are final here."""

    video: VideoInfo
    audio: AudioInfo
    original_sound: AudioInfo | None  # that of the video, where the settings ask for it
    timeline: Timeline
    output: str
    settings: Settings

    @property
    def source(self) -> str:
        """Digest of the source video: names the job's folder in the workspace."""
        return self.video.file.sha256


class Plan(Record):
    """The global window grid, the aligned mouth of every source frame, and the segments."""

    track: Artefact  # (M,) faces.track.TRACK_DTYPE
    windows: Artefact  # (W, 2) int32 half-open output ranges
    mouth: Artefact  # (M, K, 2) float32 in aligned pixels, NaN without a face
    segments: tuple[Segment, ...]
    frames_with_face: int

    @cached_property
    def window_grid(self) -> np.ndarray:
        """The (W, 2) windows."""
        return np.load(self.windows.path)

    def open_track(self) -> np.ndarray:
        """The face track, memory-mapped."""
        return np.load(self.track.path, mmap_mode="r")

    def open_mouth(self) -> np.ndarray:
        """The aligned mouths, memory-mapped."""
        return np.load(self.mouth.path, mmap_mode="r")


class Work(Record):
    """A finished clip and what it took to make it."""

    clip: ClipFile
    seconds: float
    attempts: int
    worker: str  # host, or host and GPU
    peak_rss_mib: int
    peak_gpu_mib: int = 0
