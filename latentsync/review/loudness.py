"""How loud a voice is per video frame."""

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np

FLOOR_DB = -60.0


def frame_loudness_db(audio: Path, fps: Fraction, frames: int) -> np.ndarray:
    """RMS level in dB of full scale per frame, (frames,) float32, at least ``FLOOR_DB``.

    ``audio`` is a 16-bit mono WAV file; frame n covers the samples from ``n / fps`` to ``(n + 1) / fps``.
    """
    levels = np.full(frames, FLOOR_DB, np.float32)
    with wave.open(str(audio), "rb") as file:
        rate = file.getframerate()
        for frame in range(frames):
            count = int((frame + 1) * rate / fps) - int(frame * rate / fps)
            samples = np.frombuffer(file.readframes(count), "<i2").astype(np.float32) / 32768
            if not len(samples):
                break
            levels[frame] = max(10 * np.log10(np.mean(samples**2) + 1e-12), FLOOR_DB)
    return levels
