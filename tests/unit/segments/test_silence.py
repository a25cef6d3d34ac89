"""Pauses keep the source's pixels: where they are found, what is saved, and that nothing pops at their edges."""

import wave
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from latentsync.faces.points import MOUTH_POINTS
from latentsync.faces.track import TRACK_DTYPE
from latentsync.media.loudness import frame_loudness_db
from latentsync.media.probe import probe_audio
from latentsync.segments.silence import is_speaking, must_move, open_mouths, paste_opacity
from latentsync.segments.windows import cover

FPS = Fraction(25)
LIPS = {78: (100, 200), 308: (160, 200), 13: (130, 199), 14: (130, 201)}  # mesh point -> pixel; closed


def track_of(frames: int) -> np.ndarray:
    track = np.zeros(frames, TRACK_DTYPE)
    track["face"] = True
    for point, pixel in LIPS.items():
        track["mouth"][:, MOUTH_POINTS.index(point)] = pixel
    return track


def write_voice(path: Path, pauses: list[tuple[float, float]], seconds: float) -> Path:
    """A humming voice with room tone 50 dB below it in the pauses, given as (start, end) in seconds."""
    random = np.random.default_rng(3)
    time = np.arange(int(seconds * 16_000)) / 16_000
    loud = np.ones(len(time))
    for start, end in pauses:
        loud[(start <= time) & (time < end)] = 0
    hum = 0.3 * np.sin(2 * np.pi * 140 * time) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))
    samples = hum * loud + random.normal(0, 0.2 / 316, len(time))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def test_pauses_are_found_in_the_sound(tmp_path):
    voice = probe_audio(write_voice(tmp_path / "voice.wav", [(2.0, 3.2), (3.6, 4.0)], 5))
    speaking = is_speaking(frame_loudness_db(voice, FPS, 125))
    expected = np.ones(125, bool)
    expected[50:80] = expected[90:100] = False
    np.testing.assert_array_equal(speaking, expected)


def test_loudness_is_that_of_each_frame_and_the_floor_after_the_end(tmp_path):
    voice = probe_audio(write_voice(tmp_path / "voice.wav", [(1.0, 2.0)], 2))
    levels = frame_loudness_db(voice, Fraction(30000, 1001), 90)
    assert (levels[:29] > -30).all()
    assert (levels[30:] == -60).all()


def test_loudness_of_a_long_voice_is_that_of_its_samples_up_to_a_last_frame_cut_short(tmp_path):
    fps, frames = Fraction(30000, 1001), 700
    voice = probe_audio(write_voice(tmp_path / "voice.wav", [(3.0, 4.0)], 20.01))
    with wave.open(str(tmp_path / "voice.wav")) as file:
        rate, samples = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    ends = [frame * rate * 1001 // 30000 for frame in range(frames + 1)]
    heard = [samples[start:end] for start, end in pairwise(ends) if start < len(samples)]
    expected = [max(10 * np.log10(np.mean(part**2) + 1e-12), -60) for part in heard]
    levels = frame_loudness_db(voice, fps, frames)
    np.testing.assert_allclose(levels[: len(heard)], expected, atol=1e-4)
    assert (levels[len(heard) :] == -60).all()


def test_an_open_mouth_is_closed_although_the_voice_pauses():
    track = track_of(100)
    track["mouth"][40:50, MOUTH_POINTS.index(14)] += (0, 8)
    np.testing.assert_array_equal(np.flatnonzero(open_mouths(track)), np.arange(40, 50))
    moving = must_move(np.full(100, -60, np.float32), open_mouths(track), FPS)
    np.testing.assert_array_equal(np.flatnonzero(moving), np.arange(35, 55))


@pytest.mark.parametrize(("pause", "most"), [(1.0, 0.92), (2.0, 0.90), (4.0, 0.85)])
def test_windows_are_saved_on_a_voice_with_a_fifth_of_pauses(tmp_path, pause, most):
    pauses = [(start + 4 * pause, start + 5 * pause) for start in np.arange(0, 60, 5 * pause)]
    voice = probe_audio(write_voice(tmp_path / "voice.wav", pauses, 60))
    moving = must_move(frame_loudness_db(voice, FPS, 1500), open_mouths(track_of(1500)), FPS)
    everything = cover([(0, 1500)], np.ones(1500, bool), 5)
    share = len(cover([(0, 1500)], moving, 5)) / len(everything)
    assert 0.8 <= share <= most, share


def test_a_change_in_one_sentence_moves_no_window_of_the_others(tmp_path):
    pauses = [(4.0, 5.0), (9.0, 10.0), (14.0, 15.0)]

    def grid(pauses: list[tuple[float, float]]) -> set[tuple[int, int]]:
        voice = probe_audio(write_voice(tmp_path / "voice.wav", pauses, 20))
        moving = must_move(frame_loudness_db(voice, FPS, 500), open_mouths(track_of(500)), FPS)
        return set(map(tuple, cover([(0, 500)], moving, 5).tolist()))

    changed = grid([*pauses, (6.0, 7.5)])
    assert all(125 <= start < 250 for start, _ in grid(pauses) ^ changed)
    assert grid(pauses) != changed


def test_faces_fade_in_and_out_beside_kept_frames_and_nowhere_else():
    windows = np.array([[20, 36], [36, 52], [80, 90]])
    opacity = paste_opacity([(0, 60), (70, 90)], windows, 100, FPS).astype(int)
    assert (opacity[:20] == 0).all()
    assert opacity[20:25].tolist() == [51, 102, 153, 204, 255]
    assert opacity[47:52].tolist() == [255, 204, 153, 102, 51]
    assert (opacity[52:80] == 0).all()
    assert (opacity[84:90] == 255).all(), "the end of a range of faces is no edge to fade at"
    assert (opacity[90:] == 0).all()
    assert (paste_opacity([(0, 100)], np.array([[0, 100]]), 100, FPS) == 255).all()
