import tracemalloc
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from latentsync.engines.warp.voice import SAMPLE_RATE_HZ, decode_mouth, extract_mouth, mouth_rows
from latentsync.errors import InputError

FPS = Fraction(25)


def write_wav(path: Path, signal: np.ndarray, rate_hz: int = SAMPLE_RATE_HZ, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.rint(32767 * np.clip(signal, -1, 1)).astype("<i2").tobytes())
    return path


def rows_of(tmp_path: Path, signal: np.ndarray, frames: int | None = None, fps: Fraction = FPS) -> np.ndarray:
    audio, out = write_wav(tmp_path / "voice.wav", signal), tmp_path / "voice.npy"
    extract_mouth(audio, fps, int(len(signal) * fps / SAMPLE_RATE_HZ) if frames is None else frames, out)
    return np.load(out)


def speech_like(seconds: float, seed: int, loudness: float = 0.2) -> np.ndarray:
    """Voiced syllables, four a second, between short pauses at both ends."""
    t = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    rng = np.random.default_rng(seed)
    pitch_hz = rng.uniform(100, 180)
    voice = sum(np.sin(2 * np.pi * k * pitch_hz * t + rng.uniform(0, 6)) / k for k in range(1, 25))
    syllables = np.sin(np.pi * (4 * t + rng.uniform())) ** 2
    pause = (t > 0.4) & (t < seconds - 0.4)
    return loudness * voice * syllables * pause


def test_silence_closes_the_lips_exactly(tmp_path: Path) -> None:
    assert not rows_of(tmp_path, np.zeros(3 * SAMPLE_RATE_HZ)).any()
    hiss = 1e-4 * np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE_HZ)
    assert not rows_of(tmp_path, hiss).any()


def test_pauses_and_the_time_after_the_end_are_closed(tmp_path: Path) -> None:
    opening, _ = rows_of(tmp_path, speech_like(2, seed=1), frames=75).T
    assert opening[10:40].max() > 100
    assert not opening[:6].any()
    assert not opening[47:].any()


def test_opening_follows_loudness_without_lag(tmp_path: Path) -> None:
    signal = speech_like(8, seed=2)
    opening = rows_of(tmp_path, signal)[:, 0]
    loudness = np.sqrt((signal.reshape(len(opening), -1) ** 2).mean(axis=1))
    at_lag = {lag: np.corrcoef(np.roll(opening, -lag), loudness)[0, 1] for lag in range(-2, 3)}
    assert max(at_lag, key=at_lag.__getitem__) == 0
    assert at_lag[0] > 0.9


def test_smoothing_is_symmetric() -> None:
    levels = np.full((41, 3), -120.0)
    levels[20] = (-20, -26, -30)
    rows = mouth_rows(levels, FPS)
    np.testing.assert_array_equal(rows, rows[::-1])
    assert rows[20, 0] == rows[:, 0].max() > 0
    assert (rows[:, 0] > 0).sum() <= 7


@pytest.mark.parametrize("fps", [FPS, Fraction(30000, 1001), Fraction(60)])
def test_a_burst_opens_the_frame_it_sounds_in(tmp_path: Path, fps: Fraction) -> None:
    middle = int(Fraction(201, 2) * SAMPLE_RATE_HZ / fps)  # of frame 100
    signal = np.zeros(int(200 * SAMPLE_RATE_HZ / fps) + 1)
    signal[middle - 200 : middle + 200] = 0.5 * np.sin(2 * np.pi * 400 * np.arange(400) / SAMPLE_RATE_HZ)
    opening = rows_of(tmp_path, signal, frames=200, fps=fps)[:, 0]
    assert len(opening) == 200
    assert opening.argmax() == 100


def test_changing_one_sentence_leaves_the_others_bit_identical(tmp_path: Path) -> None:
    first, last = speech_like(4, seed=3), speech_like(4, seed=4)
    one = rows_of(tmp_path, np.concatenate([first, speech_like(4, seed=5), last]))
    other = rows_of(tmp_path, np.concatenate([first, speech_like(4, seed=6, loudness=0.15), last]))
    np.testing.assert_array_equal(one[:100], other[:100])
    np.testing.assert_array_equal(one[200:], other[200:])
    assert (one[100:200] != other[100:200]).any()


def test_a_quiet_recording_opens_the_mouth_too(tmp_path: Path) -> None:
    loud = rows_of(tmp_path, speech_like(4, seed=7, loudness=0.3))[:, 0]
    quiet = rows_of(tmp_path, speech_like(4, seed=7, loudness=0.02))[:, 0]
    assert quiet.max() > 0.6 * loud.max()


@pytest.mark.parametrize(("second_formant_hz", "sign"), [(800, -1), (2300, 1)])
def test_formants_round_or_spread_the_lips(tmp_path: Path, second_formant_hz: int, sign: int) -> None:
    t = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    rows = rows_of(tmp_path, 0.2 * np.sin(2 * np.pi * 320 * t) + 0.1 * np.sin(2 * np.pi * second_formant_hz * t))
    opening, width = decode_mouth(rows[5:20]).T
    assert (opening > 0.3).all()
    assert (sign * width > 0.3).all()
    assert np.abs(width).max() <= 1


def test_a_long_voice_is_read_in_blocks(tmp_path: Path) -> None:
    signal = np.tile(speech_like(10, seed=8), 60)
    audio = write_wav(tmp_path / "voice.wav", signal)
    del signal
    tracemalloc.start()
    extract_mouth(audio, FPS, 60 * 250, tmp_path / "voice.npy")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < audio.stat().st_size
    rows = np.load(tmp_path / "voice.npy")
    np.testing.assert_array_equal(rows[250:500], rows[-500:-250])


def test_files_of_another_form_are_refused(tmp_path: Path) -> None:
    stereo = write_wav(tmp_path / "stereo.wav", np.zeros(3200), channels=2)
    text = tmp_path / "text.wav"
    text.write_text("not a sound")
    for audio in (stereo, text, tmp_path / "missing.wav"):
        with pytest.raises(InputError, match=audio.name):
            extract_mouth(audio, FPS, 10, tmp_path / "voice.npy")
