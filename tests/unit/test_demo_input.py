import importlib
import sys
import wave
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.pictures import read_picture

DEMO = Path(__file__).parents[2] / "demo"


@pytest.fixture
def demo(monkeypatch):
    monkeypatch.syspath_prepend(str(DEMO))
    yield importlib.import_module("make_input")
    for name in ("make_input", "synth_voice"):
        del sys.modules[name]


def test_the_voice_has_the_asked_length_and_real_pauses(demo, tmp_path):
    demo.write_voice(tmp_path / "voice.wav", 4.3)
    with wave.open(str(tmp_path / "voice.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (1, 44_100, round(4.3 * 44_100))
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    loud = np.sqrt(np.mean(samples[: 4 * 44_100].reshape(-1, 1764) ** 2, axis=1))  # per 40 ms
    assert 0.2 < np.mean(loud < 0.001) < 0.5
    assert 0.3 < np.mean(loud > 0.05) < 0.7
    assert 0.5 < np.abs(samples).max() < 0.95


def test_the_voice_is_the_same_every_time(demo, tmp_path):
    for name in ("a", "b"):
        demo.write_voice(tmp_path / name, 1.5)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_camera_never_leaves_the_picture(demo):
    height, width = read_picture(demo.PICTURE).shape[:2]
    side = demo.SIZE_PX - 1
    corners = np.array([[0, 0, 1], [side, 0, 1], [0, side, 1], [side, side, 1]]).T
    for frame in range(round(demo.VIDEO_SECONDS * demo.FPS)):
        seen = cv2.invertAffineTransform(demo.camera(frame)) @ corners
        assert seen.min() >= 0
        assert seen[0].max() <= width - 1
        assert seen[1].max() <= height - 1


def test_the_shipped_input_is_small():
    assert sum(path.stat().st_size for path in DEMO.iterdir() if path.is_file()) < 1_000_000
