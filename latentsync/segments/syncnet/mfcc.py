"""Mel-frequency cepstral coefficients as SyncNet learned them: those of python_speech_features, by its defaults."""

import numpy as np
from scipy.fft import dct

RATE_HZ = 16_000
WINDOW, STEP = 400, 160  # samples: 25 ms every 10 ms
FFT = 512
FILTERS, COEFFICIENTS = 26, 13
PREEMPHASIS, LIFTER = 0.97, 22


def mfcc(samples: np.ndarray) -> np.ndarray:
    """16 kHz mono samples (S,) in the range of int16 -> (T, 13), a row every 10 ms; the first is the log energy."""
    sound = samples.astype(np.float64)
    sound = np.append(sound[:1], sound[1:] - PREEMPHASIS * sound[:-1])
    rows = 1 + max(0, -(-(len(sound) - WINDOW) // STEP))
    sound = np.pad(sound, (0, (rows - 1) * STEP + WINDOW - len(sound)))
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::STEP]
    power = np.abs(np.fft.rfft(frames, FFT)) ** 2 / FFT
    energy = _positive(power.sum(axis=1))
    bands = np.log(_positive(power @ mel_filters().T))
    cepstrum = np.asarray(dct(bands, type=2, axis=1, norm="ortho"))[:, :COEFFICIENTS]
    cepstrum *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
    cepstrum[:, 0] = np.log(energy)
    return cepstrum


def mel_filters() -> np.ndarray:
    """Triangles over the bins of the spectrum, (FILTERS, FFT / 2 + 1)."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE_HZ / 2 / 700), FILTERS + 2)
    corners = np.floor((FFT + 1) * 700 * (10 ** (mel / 2595) - 1) / RATE_HZ)
    bins = np.arange(FFT // 2 + 1)
    low, middle, high = (corners[at : at + FILTERS, None] for at in range(3))
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.where((bins >= low) & (bins < middle), rising, np.where((bins >= middle) & (bins < high), falling, 0))


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values == 0, np.finfo(float).eps, values)
