"""Promise 3: memory does not grow with the length of the video."""

from pathlib import Path

import pytest

from benchmarks.memory import PROMISE, measure
from tests.conftest import Clip
from tests.synthetic import H264, ffmpeg

SHORT_MINUTES, LONG_MINUTES = 0.25, 1
SEGMENTS = ("--segment-seconds", "5")  # several at once in both
FPS = 12  # half the frames of the usual, and half the time


@pytest.mark.slow
def test_a_minute_takes_no_more_memory_than_a_quarter_of_one(demo_clip: Clip, tmp_path: Path) -> None:
    video = tmp_path / "small.mp4"
    ffmpeg("-i", demo_clip.video, "-vf", f"crop=ih*9/16:ih,scale=160:284,fps={FPS}", *H264, video)
    peaks = []
    for minutes in (SHORT_MINUTES, LONG_MINUTES):
        folder = tmp_path / str(minutes)
        folder.mkdir()
        peaks.append(measure(video, demo_clip.voice, minutes, folder, *SEGMENTS).peak_mib)
    assert peaks[1] <= PROMISE * peaks[0]
