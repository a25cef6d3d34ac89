"""Whisper's log-mel spectrogram of a whole signal, computed block by block in flat memory."""

import wave
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentsync.errors import InputError

SAMPLE_RATE_HZ = 16000
FFT_SAMPLES = 400  # 25 ms
HOP_SAMPLES = 160  # 10 ms: 100 mel frames per second
MEL_BINS = 80
LOG_HZ, LOG_MEL, LOG_STEP = 1000.0, 15.0, np.log(6.4) / 27  # where the mel scale turns logarithmic, and how steep
BLOCK_FRAMES = 3000  # mel frames computed at a time: 30 s
FLOOR = 1e-10  # power below which everything counts as silence
RANGE = 8.0  # decades kept below the loudest point of the signal


class Voice:
    """A 16 kHz mono 16-bit WAV file, read piece by piece.

    Raises ``InputError`` when the file is something else.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            with open(path, "rb") as file, wave.open(file) as sound:
                form = (sound.getframerate(), sound.getnchannels(), 8 * sound.getsampwidth())
                self.samples = sound.getnframes()
                self._data_start = file.tell()
        except (OSError, EOFError, wave.Error) as error:
            raise InputError(f"{path} is no readable WAV file ({error})") from error
        if form != (SAMPLE_RATE_HZ, 1, 16):
            raise InputError(
                f"{path} has {form[0]} Hz, {form[1]} channels, {form[2]} bits; needed are 16000 Hz mono "
                f"16 bits: ffmpeg -i {path.name} -ar 16000 -ac 1 -c:a pcm_s16le voice.wav"
            )

    @property
    def mel_frames(self) -> int:
        """Whole hops of the signal."""
        return self.samples // HOP_SAMPLES

    def read(self, start: int, end: int) -> np.ndarray:
        """Samples ``[start, end)`` as float32 in [-1, 1); mirrored about both ends of the signal."""
        index = np.arange(start, end)
        index = np.abs(index)
        index = np.where(index >= self.samples, 2 * (self.samples - 1) - index, index)
        first, last = int(index.min()), int(index.max())
        with open(self.path, "rb") as file:
            file.seek(self._data_start + 2 * first)
            samples = np.fromfile(file, "<i2", last + 1 - first)
        return samples[index - first].astype(np.float32) / 32768


def loudest(voice: Voice) -> float:
    """The largest log10 mel power of the whole signal: one streaming pass."""
    starts = range(0, voice.mel_frames, BLOCK_FRAMES)
    return max(float(_log_power(voice, start, min(start + BLOCK_FRAMES, voice.mel_frames)).max()) for start in starts)


def log_mel(voice: Voice, start: int, end: int, peak: float) -> Tensor:
    """Mel frames ``[start, end)`` as whisper sees them, (MEL_BINS, end - start) float32.

    ``peak`` is ``loudest(voice)``; the numbers equal those of the whole signal taken at once.
    """
    return (torch.clamp(_log_power(voice, start, end), min=peak - RANGE) + 4.0) / 4.0


def _log_power(voice: Voice, start: int, end: int) -> Tensor:
    """log10 of the mel power of frames centred on multiples of the hop, (MEL_BINS, end - start)."""
    margin = FFT_SAMPLES // 2
    samples = voice.read(start * HOP_SAMPLES - margin, (end - 1) * HOP_SAMPLES + margin)
    frames = torch.from_numpy(samples).unfold(0, FFT_SAMPLES, HOP_SAMPLES)
    power = torch.fft.rfft(frames * torch.hann_window(FFT_SAMPLES)).abs() ** 2  # t, frequency
    return torch.log10(torch.clamp(mel_filters() @ power.T, min=FLOOR))


@lru_cache(maxsize=1)
def mel_filters() -> Tensor:
    """Triangles of unit area on Slaney's mel scale, as whisper has them: (MEL_BINS, FFT_SAMPLES // 2 + 1) float32."""
    corners = _hz(np.linspace(0, LOG_MEL + np.log(SAMPLE_RATE_HZ / 2 / LOG_HZ) / LOG_STEP, MEL_BINS + 2))
    away = corners - np.linspace(0, SAMPLE_RATE_HZ / 2, FFT_SAMPLES // 2 + 1)[:, None]
    widths = np.diff(corners)
    rising, falling = -away[:, :-2] / widths[:-1], away[:, 2:] / widths[1:]
    filters = np.maximum(0, np.minimum(rising, falling)) * 2 / (corners[2:] - corners[:-2])
    return torch.from_numpy(filters.T.astype(np.float32))


def _hz(mel: np.ndarray) -> np.ndarray:
    """Frequencies of Slaney's mel: linear below ``LOG_MEL``, logarithmic above."""
    return np.where(mel < LOG_MEL, mel * LOG_HZ / LOG_MEL, LOG_HZ * np.exp(LOG_STEP * (mel - LOG_MEL)))
