"""What the lips should do, read off the voice: opening and width per output frame.

The analysis is local in time but for one number, the level of the voice, which is rounded coarsely:
a change in one sentence leaves the rows of the others as they were, bit for bit.
"""

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from latentsync.errors import InputError

SAMPLE_RATE_HZ = 16000
WINDOW_SAMPLES = 1024  # 64 ms: several pitch periods, about one frame and a half at 25 fps
BLOCK_FRAMES = 512  # frames analysed at once; bounds the memory
SMOOTHING_SECONDS = 0.04  # sigma; two to three frames wide at 25 fps
LEVEL_STEP_DB = 6  # the voice's level is known to this step
LEVEL_PERCENTILE = 95
QUIETEST_LEVEL_DB = -48  # a recording below this (dB of full scale) is silence
SILENCE_DB = 30  # below the voice's level: closed lips
LOUDNESS_EXPONENT = 0.6  # of the amplitude; between amplitude and the ear's 0.3
ROUNDED_DB, SPREAD_DB = -24.0, -6.0  # second-formant band over the first's: /u/ ... /i/

# Bands in Hz: all of speech; around the first formant; second formant of spread vowels and above.
SPEECH_HZ, FIRST_HZ, SECOND_HZ = (80, 6000), (250, 1000), (1500, 3600)


def extract_mouth(audio: Path, fps: Fraction, frames: int, out: Path) -> None:
    """Write the mouth's course to ``out`` (.npy): (frames, 2) int16, see ``decode_mouth``.

    ``audio`` is a 16 kHz mono 16-bit WAV file, read in blocks; frames after its end are silent.
    Raises ``InputError`` for any other form of file.
    """
    try:
        with wave.open(str(audio), "rb") as voice:
            _require_form(audio, voice)
            bands_db = _band_levels(voice, fps, frames)
    except (wave.Error, EOFError, OSError) as error:
        raise InputError(f"{audio}: not a readable WAV file ({error}); convert it with ffmpeg") from error
    with open(out, "wb") as file:
        np.save(file, mouth_rows(bands_db, fps))


def decode_mouth(rows: np.ndarray) -> np.ndarray:
    """(N, 2) int16 rows -> (N, 2) float32: opening 0 (closed) .. 1, width -1 (rounded) .. 1 (spread)."""
    return rows.astype(np.float32) / np.array([255, 127], np.float32)


def mouth_rows(bands_db: np.ndarray, fps: Fraction) -> np.ndarray:
    """Levels (N, 3) of speech, first and second formant in dB of full scale -> (N, 2) int16 rows."""
    speech, first, second = bands_db.T.astype(np.float64)
    opening = _opening(speech - _voice_level(speech))
    width = np.clip(2 * (second - first - ROUNDED_DB) / (SPREAD_DB - ROUNDED_DB) - 1, -1, 1)
    width *= np.minimum(1, 4 * opening)  # the tilt of near-silence means nothing
    rows = np.stack([255 * _smooth(opening, fps), 127 * _smooth(width, fps)], axis=1)
    return np.rint(rows).astype(np.int16)


def _opening(level_db: np.ndarray) -> np.ndarray:
    """Level above the voice's own -> 0..1, a power of the amplitude that is 0 at ``-SILENCE_DB``."""
    loudness = 10 ** (LOUDNESS_EXPONENT * level_db / 20)
    floor = 10 ** (-LOUDNESS_EXPONENT * SILENCE_DB / 20)
    return np.clip((loudness - floor) / (1 - floor), 0, 1)


def _voice_level(speech_db: np.ndarray) -> float:
    if not len(speech_db):
        return QUIETEST_LEVEL_DB
    level = np.percentile(speech_db, LEVEL_PERCENTILE)
    return max(float(LEVEL_STEP_DB * np.ceil(level / LEVEL_STEP_DB)), QUIETEST_LEVEL_DB)


def _smooth(curve: np.ndarray, fps: Fraction) -> np.ndarray:
    """A symmetric kernel of finite reach: no lag, and silence stays silent."""
    return gaussian_filter1d(curve, SMOOTHING_SECONDS * float(fps), mode="nearest", truncate=2.5)


def _require_form(audio: Path, voice: wave.Wave_read) -> None:
    form = (voice.getframerate(), voice.getnchannels(), 8 * voice.getsampwidth())
    if form != (SAMPLE_RATE_HZ, 1, 16):
        raise InputError(
            f"{audio}: (Hz, channels, bits) = {form}, the voice must be {(SAMPLE_RATE_HZ, 1, 16)}; "
            "convert it with ffmpeg -ar 16000 -ac 1 -c:a pcm_s16le"
        )


def _band_levels(voice: wave.Wave_read, fps: Fraction, frames: int) -> np.ndarray:
    """(frames, 3) float32: levels of speech, first and second formant bands in dB of full scale."""
    levels = np.empty((frames, 3), np.float32)
    for start in range(0, frames, BLOCK_FRAMES):
        end = min(start + BLOCK_FRAMES, frames)
        levels[start:end] = _levels_of(_block(voice, fps, start, end))
    return levels


def _block(voice: wave.Wave_read, fps: Fraction, start: int, end: int) -> np.ndarray:
    """(end - start, WINDOW_SAMPLES) float32 in -1..1: samples around the middle of each frame."""
    middles = [(2 * n + 1) * SAMPLE_RATE_HZ * fps.denominator // (2 * fps.numerator) for n in range(start, end)]
    first, last = middles[0] - WINDOW_SAMPLES // 2, middles[-1] + WINDOW_SAMPLES // 2
    samples = np.zeros(last - first, np.float32)
    inside = slice(max(first, 0), min(last, voice.getnframes()))
    if inside.start < inside.stop:
        voice.setpos(inside.start)
        data = np.frombuffer(voice.readframes(inside.stop - inside.start), "<i2")
        samples[inside.start - first : inside.start - first + len(data)] = data / np.float32(32768)
    offsets = np.array(middles) - middles[0]
    return np.lib.stride_tricks.sliding_window_view(samples, WINDOW_SAMPLES)[offsets]


def _levels_of(windows: np.ndarray) -> np.ndarray:
    """(F, WINDOW_SAMPLES) -> (F, 3): RMS level of each band in dB of full scale."""
    taper = np.hanning(WINDOW_SAMPLES).astype(np.float32)
    power = np.abs(np.fft.rfft(windows * taper, axis=1)) ** 2
    hz = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / SAMPLE_RATE_HZ)
    bands = [power[:, (low <= hz) & (hz < high)].sum(axis=1) for low, high in (SPEECH_HZ, FIRST_HZ, SECOND_HZ)]
    mean_square = 2 * np.stack(bands, axis=1) / (WINDOW_SAMPLES * (taper**2).sum())
    return 10 * np.log10(np.maximum(mean_square, 1e-12))
