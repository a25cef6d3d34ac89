from fractions import Fraction
from pathlib import Path

import numpy as np

from latentsync.review.plots import MemorySample, plot_mouth_vs_voice, plot_run
from tests.pictures import read_picture


def voice(frames: int = 200) -> np.ndarray:
    return np.abs(np.sin(np.arange(frames) * 0.37)) * (np.arange(frames) % 60 < 45)


def ink(path: Path) -> dict[str, int]:
    """Pixels by colour: how much of the picture is clearly blue, red, orange."""
    red, green, blue = np.moveaxis(read_picture(path).astype(int), -1, 0)
    return {
        "blue": int(((blue > red + 40) & (blue > green + 15)).sum()),
        "red": int(((red > 150) & (green < 90) & (blue < 90)).sum()),
        "orange": int(((red > 200) & (green > 100) & (green < 180) & (blue < 80)).sum()),
    }


def test_the_plot_shows_voice_and_mouth(tmp_path):
    plot_mouth_vs_voice(voice(), voice(), Fraction(25), tmp_path / "both.png")
    plot_mouth_vs_voice(voice(), np.full(200, np.nan), Fraction(25), tmp_path / "voice.png")
    both, only_voice = ink(tmp_path / "both.png"), ink(tmp_path / "voice.png")
    assert both["blue"] > 10_000
    assert only_voice["blue"] > 10_000
    assert both["red"] > only_voice["red"] + 2_000


def test_the_run_shows_memory_gpu_and_stages(tmp_path):
    memory = [MemorySample(t / 2, 500 + 20 * np.sin(t), 0) for t in range(60)]
    progress = {"generate": [(0, 0.0), (5, 0.5), (9, 1.0)], "render": [(3, 0.0), (30, 1.0)]}
    plot_run(memory, progress, tmp_path / "run.png")
    plot_run(memory, {}, tmp_path / "memory.png")
    plot_run([sample._replace(gpu_mib=300) for sample in memory], {}, tmp_path / "gpu.png")
    assert ink(tmp_path / "memory.png")["blue"] > 500
    assert ink(tmp_path / "memory.png")["orange"] == 0
    assert ink(tmp_path / "gpu.png")["orange"] > 500
    assert ink(tmp_path / "run.png")["orange"] > 500  # the second stage


def test_a_run_without_samples_still_gives_a_picture(tmp_path):
    plot_run([], {}, tmp_path / "run.png")
    assert read_picture(tmp_path / "run.png").shape[0] > 300
