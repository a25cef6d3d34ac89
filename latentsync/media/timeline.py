"""Which source frame is shown at which output frame: integers only, fixed once per job."""

from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np

from latentsync.errors import UnusableFile
from latentsync.records import AudioInfo, Record, VideoInfo

IfAudioLonger = Literal["cut", "loop", "bounce", "hold"]
IfVideoLonger = Literal["cut", "keep"]


class Run(NamedTuple):
    """Consecutive output frames that show source frames ``source``, ``source + step``, ..."""

    source: int
    frames: int
    step: int  # 1 forwards, -1 backwards, 0 the same frame again


class Timeline(Record):
    """``frames`` output frames at ``fps``, of which the first ``voice_frames`` have voice.

    ``source`` says how ``source_frames`` source frames fill them: ``cut`` in order, ``loop`` from the
    start again, ``bounce`` forwards and backwards, ``hold`` the last one.
    """

    fps: Fraction
    frames: int
    source_frames: int
    voice_frames: int
    source: IfAudioLonger

    def source_indices(self, start: int, end: int) -> np.ndarray:
        """Source frame of each output frame in ``[start, end)``: (end - start,) int64."""
        n, last = np.arange(start, end, dtype=np.int64), self.source_frames - 1
        if self.source == "loop":
            return n % self.source_frames
        if self.source == "bounce":
            period = max(1, 2 * last)  # the end frames are not doubled
            phase = n % period
            return np.minimum(phase, period - phase) if last else np.zeros_like(n)
        return np.minimum(n, last)

    def runs(self, start: int, end: int) -> list[Run]:
        """``source_indices(start, end)`` as the fewest readable pieces."""
        indices = self.source_indices(start, end)
        pieces: list[Run] = []
        while len(indices):
            step = int(indices[1] - indices[0]) if len(indices) > 1 else 1
            step = step if abs(step) <= 1 else 1  # a loop's jump: a piece of one frame
            breaks = np.flatnonzero(np.diff(indices) != step)
            frames = int(breaks[0]) + 1 if len(breaks) else len(indices)
            pieces.append(Run(int(indices[0]), frames, step))
            indices = indices[frames:]
        return pieces


def plan_timeline(
    video: VideoInfo, audio: AudioInfo, if_audio_longer: IfAudioLonger = "cut", if_video_longer: IfVideoLonger = "cut"
) -> Timeline:
    """Fix the number of output frames. The voice counts as ``floor(samples * fps / rate)`` frames.

    Raises InputError when the voice is shorter than one frame.
    """
    voice = audio.frames(video.fps)
    if not voice:
        raise UnusableFile(
            f"{audio.file.path}: {audio.samples} samples at {audio.sample_rate_hz} Hz are less than one frame "
            f"at {video.fps} frames/s; give a longer voice"
        )
    longer = voice > video.frames
    frames = voice if (longer and if_audio_longer != "cut") else min(voice, video.frames)
    if not longer and if_video_longer == "keep":
        frames = video.frames
    return Timeline(
        fps=video.fps,
        frames=frames,
        source_frames=video.frames,
        voice_frames=min(voice, frames),
        source=if_audio_longer if longer else "cut",
    )
