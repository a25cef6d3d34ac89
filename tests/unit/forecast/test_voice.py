"""Voices whose measures are known because they were made so."""

import wave
from pathlib import Path

import numpy as np
import pytest

from latentsync.forecast.records import Voice
from latentsync.forecast.voice import measure_voice, ranges
from latentsync.media.probe import probe_audio

RATE_HZ = 16_000
SECONDS = 12


def speech() -> np.ndarray:
    """Syllables, four a second, of 12 s in -1..1; nothing between 4 and 6 s."""
    time = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    syllables = 0.02 + np.maximum(np.sin(2 * np.pi * 4 * time), 0) ** 2
    tone = sum(np.sin(2 * np.pi * 140 * order * time) / order for order in range(1, 9))
    return 0.2 * syllables * tone * ((time < 4) | (time >= 6))


def measured(samples: np.ndarray, tmp_path: Path) -> Voice:
    path = tmp_path / "voice.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.clip(samples * 32767, -32768, 32767).astype("<i2").tobytes())
    return measure_voice(probe_audio(path))


def test_a_clean_voice(tmp_path):
    voice = measured(speech(), tmp_path)
    assert voice.seconds == SECONDS
    assert voice.pauses == 1
    assert voice.silent_share == pytest.approx(2 / SECONDS, abs=0.02)
    assert voice.clipped_share == 0
    assert voice.under_voice == "nothing"
    assert voice.peak_db == pytest.approx(20 * np.log10(np.abs(speech()).max()), abs=0.2)


def test_clipping_is_what_was_cut_off(tmp_path):
    loud = 8 * speech()
    assert measured(loud, tmp_path).clipped_share == pytest.approx((np.abs(loud) >= 1).mean(), abs=0.005)


def test_one_full_sample_is_no_clipping(tmp_path):
    samples = speech()
    samples[1000] = 1.0
    assert measured(samples, tmp_path).clipped_share == 0


def test_music_and_noise_under_the_voice_are_told_apart(tmp_path):
    time = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    chord = 0.04 * sum(np.sin(2 * np.pi * hertz * time) for hertz in (220, 277.2, 329.6, 440))
    noise = 0.04 * np.random.default_rng(7).standard_normal(len(time))
    assert measured(speech() + chord, tmp_path).under_voice == "music"
    assert measured(speech() + noise, tmp_path).under_voice == "noise"


def test_silence_is_all_pause(tmp_path):
    voice = measured(np.zeros(2 * RATE_HZ), tmp_path)
    assert voice.silent_share == 1
    assert voice.under_voice == "nothing"


def test_ranges_are_half_open():
    assert ranges(np.array([True, True, False, True])) == [(0, 2), (3, 4)]
    assert ranges(np.zeros(3, bool)) == []
