"""How loud a voice is per video frame."""

from fractions import Fraction

import numpy as np

from latentsync.media.audio import VOICE_HZ, mono_16k
from latentsync.media.ffmpeg import QUIET, Ffmpeg
from latentsync.records import AudioInfo

FLOOR_DB = -60.0
BLOCK_FRAMES = 512  # read at once: bounds the memory


def frame_loudness_db(audio: AudioInfo, fps: Fraction, frames: int) -> np.ndarray:
    """RMS level of the first frames in dB of full scale, (frames,) float32, at least ``FLOOR_DB``.

    Frame n covers the samples from ``n / fps`` to ``(n + 1) / fps``; the sound is decoded as a stream.
    """
    levels = np.full(frames, FLOOR_DB, np.float32)
    sound = mono_16k(audio, "pipe:1", format="s16le").global_args(*QUIET)
    with Ffmpeg(sound.compile(), audio.file.path, stdout=True) as process:
        for first in range(0, frames, BLOCK_FRAMES):
            starts = _sample_at(np.arange(first, min(first + BLOCK_FRAMES, frames) + 1), fps)
            samples = np.frombuffer(process.stdout.read(2 * int(starts[-1] - starts[0])), "<i2") / 32768
            heard = starts[:-1][starts[:-1] - starts[0] < len(samples)] - starts[0]
            if len(heard):
                levels[first : first + len(heard)] = _rms_db(samples, heard)
            if len(samples) < starts[-1] - starts[0]:
                process.finish()
                break
    return levels


def _sample_at(frame: np.ndarray, fps: Fraction) -> np.ndarray:
    return frame * VOICE_HZ * fps.denominator // fps.numerator


def _rms_db(samples: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The level of each stretch that begins at ``starts`` and ends where the next begins."""
    sizes = np.diff(starts, append=len(samples))
    mean_square = np.add.reduceat(samples**2, starts) / sizes
    return np.maximum(10 * np.log10(mean_square + 1e-12), FLOOR_DB)
