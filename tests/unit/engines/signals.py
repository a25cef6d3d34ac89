"""Speech-like signals."""

import wave
from pathlib import Path

import numpy as np

RATE = 16000


def speech_like(seconds: float, seed: int = 0) -> np.ndarray:
    """Syllables of changing pitch, loudness and noise; int16."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    points = np.arange(0, seconds + 0.25, 0.25)
    pitch, loudness = (
        np.interp(time, points, random.uniform(low, high, len(points))) for low, high in ((90, 220), (0.0, 1.0))
    )
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 12))
    sound = loudness * (tone + 0.3 * random.standard_normal(len(time)))
    return (0.25 * sound * 32767).clip(-32768, 32767).astype(np.int16)


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, len(samples) // channels, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path
