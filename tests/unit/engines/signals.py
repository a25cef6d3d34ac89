"""Speech-like signals and a small random whisper."""

import wave
from pathlib import Path

import numpy as np
import torch

from latentsync.engines.diffusion.whisper import WhisperConfig, WhisperEncoder

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


def write_random_whisper(path: Path, channels: int = 32) -> Path:
    """A small random encoder in OpenAI's file form."""
    torch.manual_seed(0)
    config = WhisperConfig(channels=channels, heads=2, layers=2)
    encoder = WhisperEncoder(config)
    weights = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    torch.save({"dims": {"n_audio_head": config.heads}, "model_state_dict": weights}, path)
    return path
