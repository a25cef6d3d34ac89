"""Whisper writes a row's place in its window into the row, so rows that are heard at another place differ
by design. What must not happen is a step where windows meet; the tolerances below say how we know."""

import itertools
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from latentsync.engines.diffusion.mel import Voice, log_mel, loudest
from latentsync.engines.diffusion.voice import FADE_ROWS, HOP_ROWS, extract_features, frame_tokens
from latentsync.engines.diffusion.whisper import load_whisper
from latentsync.errors import InputError
from tests.unit.engines.diffusion.whisper_files import random_model, write_openai
from tests.unit.engines.signals import RATE, speech_like, write_wav


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def whisper(folder) -> Path:
    return write_openai(folder / "tiny.pt", random_model().encoder)


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    return speech_like(70)


def rows_of(samples: np.ndarray, whisper: Path, folder: Path) -> np.ndarray:
    wav = write_wav(folder / "voice.wav", samples)
    return np.load(extract_features(wav, whisper, folder / "features.npy").path)


@pytest.fixture(scope="module")
def rows(signal, whisper, folder) -> np.ndarray:
    return rows_of(signal, whisper, folder)


def changes(rows: np.ndarray) -> np.ndarray:
    """How far each row is from the one before."""
    return np.sqrt(((rows[1:] - rows[:-1]) ** 2).sum((1, 2)))


def borders(total_rows: int) -> list[slice]:
    """The surroundings of every place where two windows meet."""
    starts = [*range(0, total_rows - 1500, HOP_ROWS), total_rows - 1500]
    meets = [(a + b + 1500) // 2 for a, b in itertools.pairwise(starts)]
    return [slice(meet - FADE_ROWS, meet + FADE_ROWS) for meet in meets]


def test_no_step_where_windows_meet(rows):
    step = changes(rows)
    inside = np.ones(len(step), bool)
    for border in borders(len(rows)):
        inside[border] = False
    assert max(step[border].max() for border in borders(len(rows))) <= 1.1 * step[inside].max()


def test_hard_windows_would_step(signal, whisper, folder):
    """The measure above is able to fail: it finds the reference's glitch at 30 s."""
    voice, encoder = Voice(write_wav(folder / "voice.wav", signal)), load_whisper(whisper)
    peak = loudest(voice)
    windows = [encoder(log_mel(voice, start, start + 3000, peak)[None])[0] for start in (0, 3000)]
    step = changes(torch.cat(windows).numpy())
    assert step[1499] > 2 * np.delete(step, 1499).max()


def test_rows_around_30_s_do_not_depend_on_what_came_15_s_before(rows, signal, whisper, folder):
    cut = rows_of(signal[15 * RATE :], whisper, folder)
    assert np.abs(rows[1400:1600] - cut[1400 - 750 : 1600 - 750]).max() <= 0.01


def test_the_first_layer_depends_on_the_cut_only_by_its_place_in_the_window(rows, signal, whisper, folder):
    cut = rows_of(signal[10 * RATE :], whisper, folder)
    table = load_whisper(whisper).embed_positions.weight.numpy()
    here = rows[1450:1550, 0] - table[1450 - 750 : 1550 - 750]
    there = cut[1450 - 500 : 1550 - 500, 0] - table[1450 - 500 : 1550 - 500]
    assert np.abs(here - there).max() <= 1e-4


@pytest.mark.parametrize("seconds", [30.0, 30.02, 30.5, 44.99, 45.0, 60.0])
def test_every_length_has_all_its_rows(seconds, whisper, folder):
    samples = speech_like(seconds)
    rows = rows_of(samples, whisper, folder)
    assert len(rows) == len(samples) // 320
    assert np.isfinite(rows).all()


def test_tokens_are_ten_rows_around_the_frame_and_the_ends_are_repeated(folder):
    path = folder / "rows.npy"
    np.save(path, np.arange(100, dtype=np.float32).repeat(6).reshape(100, 2, 3))
    tokens = frame_tokens(path, 0, 60, Fraction(30))
    assert tokens.shape == (60, 20, 3)
    assert tokens[0, ::2, 0].tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 4, 5]
    assert tokens[29, ::2, 0].tolist() == list(range(44, 54))  # int(29 * 50 / 30) = 48
    assert tokens[59, ::2, 0].tolist() == [94, 95, 96, 97, 98, 99, 99, 99, 99, 99]


def test_frames_are_counted_without_drift(whisper, folder):
    features = extract_features(write_wav(folder / "voice.wav", speech_like(3)), whisper, folder / "features.npy")
    assert features.frame_count(Fraction(25)) == 75
    assert features.frame_count(Fraction(30000, 1001)) == 89
    assert np.array_equal(features.tokens(7, Fraction(25)), frame_tokens(features.path, 7, 8, Fraction(25))[0])


def test_too_short_a_voice_is_refused(whisper, folder):
    path = write_wav(folder / "short.wav", np.zeros(319, np.int16))
    with pytest.raises(InputError, match=r"short\.wav has 319 samples"):
        extract_features(path, whisper, folder / "features.npy")


@pytest.mark.slow
def test_resident_memory_does_not_grow_with_the_voice(whisper, folder):
    def peak_kib(seconds: int) -> int:
        wav = write_wav(folder / "long.wav", speech_like(seconds))
        code = (
            "import resource, sys, torch; from pathlib import Path;"
            "from latentsync.engines.diffusion.voice import extract_features; torch.set_num_threads(1);"
            "extract_features(*map(Path, sys.argv[1:]));"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        command = [sys.executable, "-c", code, str(wav), str(whisper), str(folder / "long.npy")]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert peak_kib(600) <= 1.05 * peak_kib(60)
