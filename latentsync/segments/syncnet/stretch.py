"""What of a segment SyncNet looks at and hears: some seconds, so that time and memory are bounded."""

import wave
from fractions import Fraction

import numpy as np

from latentsync.job import Job, Plan
from latentsync.media.audio import VOICE_HZ
from latentsync.records import Artefact, Segment
from latentsync.segments.silence import OPAQUE
from latentsync.segments.stretches import longest_run, middle_of

FPS = 25  # that SyncNet has learned
SECONDS = 5  # looking at a frame costs it as much as making one by warp does


def measured_frames(job: Job, plan: Plan, segment: Segment) -> tuple[int, int]:
    """Half-open range of output frames: the middle of the segment's longest stretch of new faces with a voice."""
    opacity = plan.open_opacity()[segment.start : min(segment.end, job.timeline.voice_frames)]
    start, end = middle_of(longest_run(opacity == OPAQUE), round(SECONDS * job.timeline.fps))
    return segment.start + start, segment.start + end


def heard_samples(job: Job, frames: tuple[int, int], sound: Artefact) -> np.ndarray:
    """The 16 kHz samples (S,) int16 of these frames; ``sound`` is the whole voice as a WAV file."""
    first, last = (int(frame * VOICE_HZ / job.timeline.fps) for frame in frames)
    with wave.open(str(sound.path), "rb") as file:
        file.setpos(min(first, file.getnframes()))
        return np.frombuffer(file.readframes(last - first), "<i2")


def frames_at_its_rate(frames: int, fps: Fraction) -> np.ndarray:
    """Which of consecutive frames at ``fps`` SyncNet is shown, at its own rate."""
    return np.array([int(k * fps / FPS) for k in range(int(frames * FPS / fps))], int)
