import numpy as np
import pytest

from latentsync.segments.sync import best_lag, lip_leak, sync


def voice(frames: int = 200) -> np.ndarray:
    return np.abs(np.sin(np.arange(frames) * 0.37)) * (np.arange(frames) % 60 < 45)


SPOKEN = voice() > 0


def level_db(loudness: np.ndarray) -> np.ndarray:
    return 20 * np.log10(np.maximum(loudness, 1e-3))


@pytest.mark.parametrize("lag", [-3, 0, 2])
def test_the_lag_of_a_late_or_early_mouth_is_found(lag):
    found, correlation = best_lag(voice(), 5 + 2 * np.roll(voice(), lag))
    assert found == lag
    assert correlation > 0.99


def test_frames_without_a_face_do_not_count():
    opening = voice()
    opening[20:60] = np.nan
    assert best_lag(voice(), opening) == (0, pytest.approx(1))


@pytest.mark.parametrize("opening", [np.zeros(200), np.full(200, np.nan), np.zeros(1)])
def test_a_still_or_unknown_mouth_correlates_with_nothing(opening):
    lag, correlation = best_lag(voice(), opening)
    assert lag == 0
    assert np.isnan(correlation)


@pytest.mark.parametrize("late", [-4, 0, 7])
def test_a_mouth_that_follows_the_voice_is_told_from_a_late_one(late):
    offset, correlation = sync(level_db(voice()), SPOKEN, np.roll(0.1 * voice(), late)) or (None, 0)
    assert offset == late
    assert correlation > 0.95


def test_what_is_hardly_seen_or_never_heard_is_not_judged():
    opening = np.where(np.arange(200) < 49, voice(), np.nan)
    assert sync(level_db(voice()), SPOKEN, opening) is None
    hiss = np.random.default_rng(1).normal(-55, 2, 200)
    assert sync(hiss, np.zeros(200, bool), voice()) is None
    assert sync(np.full(200, -20.0), np.ones(200, bool), voice()) is None  # a tone


def test_lip_leak_counts_the_silent_frames_that_move_but_not_those_beside_speech():
    speaking = np.arange(100) < 40
    still, moving = np.zeros(100), np.tile([0.0, 0.1], 50)
    assert lip_leak(speaking, still, 5) == 0
    assert lip_leak(speaking, moving, 5) == 1
    assert lip_leak(speaking, np.where(np.arange(100) < 44, moving, 0), 5) == 0  # closing after the last sound
    assert lip_leak(speaking, np.where(np.arange(100) < 72, 0, moving), 5) == pytest.approx(27 / 55)


@pytest.mark.parametrize("speaking", [np.ones(100, bool), np.arange(100) < 92, np.zeros(1, bool)])
def test_without_silence_there_is_no_lip_leak(speaking):
    assert lip_leak(speaking, np.zeros(len(speaking)), 5) is None


def test_frames_without_a_face_neither_leak_nor_keep_still():
    assert lip_leak(np.zeros(100, bool), np.full(100, np.nan), 5) is None
