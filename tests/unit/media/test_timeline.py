from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from latentsync.errors import InputError
from latentsync.media.timeline import IfAudioLonger, Timeline, plan_timeline
from latentsync.records import Artefact, AudioInfo, VideoInfo

FILE = Artefact.model_construct(path=Path("voice.wav"), size_bytes=1, sha256="0")
RATES = [Fraction(text) for text in ("24000/1001", "25", "30000/1001", "30", "50", "60000/1001", "60")]


def video(frames: int, fps: Fraction = Fraction(25)) -> VideoInfo:
    return VideoInfo.model_construct(file=FILE, frames=frames, fps=fps)


def audio(samples: int, rate_hz: int = 48_000) -> AudioInfo:
    return AudioInfo.model_construct(file=FILE, samples=samples, sample_rate_hz=rate_hz)


def line(source: IfAudioLonger, frames: int, source_frames: int) -> Timeline:
    return Timeline(fps=Fraction(25), frames=frames, source_frames=source_frames, voice_frames=frames, source=source)


@pytest.mark.parametrize(
    ("policy", "frames", "voice_frames"), [("cut", 100, 100), ("loop", 250, 250), ("bounce", 250, 250)]
)
def test_longer_audio_is_cut_or_fills_more_frames(policy, frames, voice_frames):
    timeline = plan_timeline(video(100), audio(10 * 48_000), if_audio_longer=policy)
    assert (timeline.frames, timeline.voice_frames, timeline.source) == (frames, voice_frames, policy)


@pytest.mark.parametrize(("policy", "frames"), [("cut", 50), ("keep", 100)])
def test_longer_video_is_cut_or_kept_without_voice(policy, frames):
    timeline = plan_timeline(video(100), audio(2 * 48_000), if_audio_longer="loop", if_video_longer=policy)
    assert (timeline.frames, timeline.voice_frames, timeline.source) == (frames, 50, "cut")


def test_a_part_of_a_frame_does_not_count():
    assert plan_timeline(video(100), audio(2 * 48_000 - 1)).frames == 49


def test_a_voice_shorter_than_a_frame_is_refused():
    with pytest.raises(InputError, match="100 samples at 48000 Hz"):
        plan_timeline(video(100), audio(100))


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_two_hours_do_not_drift(fps, rate_hz):
    frames = int(7200 * fps)
    samples = -(-frames * rate_hz * fps.denominator // fps.numerator)
    timeline = plan_timeline(video(frames, fps), audio(samples, rate_hz))
    assert timeline.frames == frames
    assert plan_timeline(video(frames, fps), audio(samples - 1, rate_hz)).frames in (frames - 1, frames)
    assert timeline.source_indices(frames - 2, frames).tolist() == [frames - 2, frames - 1]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("cut", [0, 1, 2, 3]),
        ("loop", [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]),
        ("bounce", [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]),
        ("hold", [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]),
    ],
)
def test_source_indices(source, expected):
    assert line(source, len(expected), 4).source_indices(0, len(expected)).tolist() == expected


@pytest.mark.parametrize("source", ["loop", "bounce", "hold"])
@pytest.mark.parametrize("source_frames", [1, 2, 3, 7])
def test_runs_cover_every_range_in_order(source, source_frames):
    timeline = line(source, 40, source_frames)
    for start in range(0, 40, 3):
        for end in range(start, 41, 5):
            runs = timeline.runs(start, end)
            shown = [run.source + step * run.step for run in runs for step in range(run.frames)]
            assert shown == timeline.source_indices(start, end).tolist()
            assert all(0 <= index < source_frames for index in shown)


def test_indices_are_integers_far_into_a_loop():
    indices = line("loop", 10**7, 12_345).source_indices(9_999_990, 10**7)
    assert indices.dtype == np.int64
    assert indices.tolist() == [n % 12_345 for n in range(9_999_990, 10**7)]
