"""What a job is, once its inputs have been looked at, and how it is cut up."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from latentsync.media.timeline import Timeline
from latentsync.records import Artefact, AudioInfo, Record, Segment, VideoInfo
from latentsync.settings import Settings
from latentsync.storage.mapped import open_array


class Job(Record):
    """Probed inputs, the timeline and the settings. Frame and sample counts are final here."""

    video: VideoInfo
    audio: AudioInfo
    original_sound: AudioInfo | None  # that of the video, where the settings ask for it
    timeline: Timeline
    part: tuple[int, int] | None = None  # half-open output frames that are wanted; None: all
    output: str
    settings: Settings
    syncnet: Artefact | None = None  # weights of SyncNet, where something is measured with them

    @property
    def source(self) -> str:
        """Digest of the source video: names the job's folder in the workspace."""
        return self.video.file.sha256


class Plan(Record):
    """The global window grid, the aligned mouth of every source frame, and the segments."""

    track: Artefact  # (M,) faces.track.TRACK_DTYPE
    windows: Artefact  # (W, 2) int32 half-open output ranges
    opacity: Artefact  # (N,) uint8 by output frame: how much of the generated face is pasted
    loudness: Artefact  # (V,) float32, dB of full scale: how loud the voice is in each output frame
    mouth: Artefact  # (R, K, 2) float32 in aligned pixels, NaN without a face: how the mouth usually looks
    mouth_start: int  # source frame of its first row
    cuts: Artefact  # (S, 3) int64 start, end, clip_end of each segment of the whole timeline
    compared: Artefact  # (S, 2) int64: frames of each segment that its score compares with the source's
    made: tuple[int, int]  # half-open indices of the segments whose faces are made
    joined: tuple[int, int]  # and of those of the output
    frames_with_face: int

    @property
    def window_grid(self) -> np.ndarray:
        """The (W, 2) windows."""
        return _windows(self.windows.path, self.windows.sha256)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The units of work, in order: those of the output and, before a part, the one that its first blends with.

        They are in a file, since each of thousands of tasks is given the plan.
        """
        return self._all[slice(*self.made)]

    @property
    def output_segments(self) -> tuple[Segment, ...]:
        """Those that make the output."""
        return self._all[slice(*self.joined)]

    @property
    def span(self) -> tuple[int, int]:
        """Frames of the timeline that the output holds, half-open."""
        segments = self.output_segments
        return segments[0].start, segments[-1].end

    @property
    def _all(self) -> tuple[Segment, ...]:
        return _segments(self.cuts.path, self.cuts.sha256)

    def is_joined(self, segment: Segment) -> bool:
        """Whether a segment is in the output."""
        return self.joined[0] <= segment.index < self.joined[1]

    def before(self, segment: Segment) -> Segment | None:
        """The segment before, whose faces are blended with the first ones of ``segment``."""
        return self._all[segment.index - 1] if segment.index else None

    def open_track(self) -> np.ndarray:
        """The face track, memory-mapped."""
        return open_array(self.track.path)

    def open_opacity(self) -> np.ndarray:
        """The opacities, memory-mapped."""
        return open_array(self.opacity.path)

    def open_loudness(self) -> np.ndarray:
        """The voice's loudness, memory-mapped."""
        return open_array(self.loudness.path)

    def open_compared(self) -> np.ndarray:
        """The frames that are compared with the source's, memory-mapped."""
        return open_array(self.compared.path)

    def open_mouth(self) -> np.ndarray:
        """The aligned mouths, memory-mapped."""
        return open_array(self.mouth.path)


# Remembered here and not in the plan, which travels to every task.
@lru_cache(maxsize=4)
def _windows(path: Path, _sha256: str) -> np.ndarray:
    return np.array(open_array(path))


@lru_cache(maxsize=4)
def _segments(path: Path, _sha256: str) -> tuple[Segment, ...]:
    rows = enumerate(open_array(path).tolist())
    return tuple(Segment(index=index, start=start, end=end, clip_end=last) for index, (start, end, last) in rows)
