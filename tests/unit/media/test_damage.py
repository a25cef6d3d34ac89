"""What is missing or broken in a file is refused or told, never passed over."""

import logging
from fractions import Fraction
from pathlib import Path

import pytest

from latentsync.errors import InputError
from latentsync.media.conform import prepare_video
from latentsync.media.decode import read_rgb
from latentsync.media.probe import probe_audio, probe_video
from tests.hostile import cut, with_flipped_bits, with_samples
from tests.synthetic import H264, ffmpeg, make_sound, make_video, tone

pytestmark = pytest.mark.slow

FPS = Fraction(25)
SOUNDS = {
    "a.wav": [],
    "a.flac": [],
    "a.mp3": ["-c:a", "libmp3lame"],
    "a.opus": ["-c:a", "libopus"],
    "a.ogg": ["-c:a", "libvorbis"],
    "a.mka": ["-c:a", "aac"],
}
VIDEOS = ("a.mkv", "a.webm", "a.avi", "a.flv", "a.ts", "a.m2ts", "front.mp4")


@pytest.fixture(scope="module")
def ten_seconds(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ten") / "whole.mp4"
    return make_video(path, 250, 25, ["-map", "0", "-map", "1", *H264, "-g", "25", "-c:a", "aac"], before=tone(10))


def sound(folder: Path, name: str) -> Path:
    return make_sound(folder / name, 480_000, 48_000, 1, SOUNDS[name])


def video(source: Path, folder: Path, name: str) -> Path:
    coding = {"a.webm": ["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"]}.get(name, ["-c", "copy"])
    ffmpeg("-i", source, *coding, *(["-movflags", "+faststart"] if name == "front.mp4" else []), folder / name)
    return folder / name


@pytest.mark.parametrize("percent", [60, 80, 93])
@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_that_was_cut_off_is_refused(tmp_path, caplog, name, percent):
    path = cut(sound(tmp_path, name), tmp_path / f"cut-{name}", percent)
    with pytest.raises(InputError, match=r"is truncated: .* min_complete_percent below 95"):
        probe_audio(path)
    assert probe_audio(path, 0).samples < 480_000
    assert "is truncated" in caplog.text


@pytest.mark.parametrize("name", SOUNDS)
def test_a_whole_sound_is_taken_without_a_word(tmp_path, caplog, name):
    assert probe_audio(sound(tmp_path, name)).samples >= 480_000
    assert not caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("percent", [60, 80, 93])
@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_that_was_cut_off_is_refused(ten_seconds, tmp_path, caplog, name, percent):
    path = cut(video(ten_seconds, tmp_path, name), tmp_path / f"cut-{name}", percent)
    with pytest.raises(InputError, match=r"is truncated: .* min_complete_percent below 95"):
        prepare_video(path, FPS, tmp_path / "work")
    assert prepare_video(path, FPS, tmp_path / "work", 0).frames < 250
    assert "is truncated" in caplog.text


def test_little_missing_is_told(ten_seconds, tmp_path, caplog):
    path = cut(video(ten_seconds, tmp_path, "a.mkv"), tmp_path / "cut.mkv", 97)
    assert 230 < probe_video(path, FPS).frames < 250
    assert "is truncated" in caplog.text


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_frames_with_flipped_bits_are_called_damaged(ten_seconds, tmp_path, name):
    whole = ten_seconds if name == "a.mp4" else video(ten_seconds, tmp_path, name)
    path = with_flipped_bits(whole, tmp_path / f"flipped-{name}", 200)
    found = prepare_video(path, FPS, tmp_path / "work", 0)
    with pytest.raises(InputError, match=r"is damaged: \d+ frames of 25\d"):
        list(read_rgb(found, 0, found.frames, 160)[1])


def test_a_few_damaged_frames_are_told(ten_seconds, tmp_path, caplog):
    found = probe_video(with_flipped_bits(ten_seconds, tmp_path / "a.mp4", 5), FPS)
    frames = list(read_rgb(found, 0, found.frames, 160)[1])
    assert len(frames) == 250
    assert "is damaged: 249 frames of 250" in caplog.text


def test_ranges_of_a_whole_video_are_read_without_a_word(ten_seconds, caplog):
    caplog.set_level(logging.INFO)
    found = probe_video(ten_seconds, FPS)
    for start in (0, 60, 237):
        list(read_rgb(found, start, start + 13, 160)[1])
    assert not caplog.text


def test_sound_with_flipped_bits_is_called_damaged(tmp_path):
    path = with_flipped_bits(make_sound(tmp_path / "a.m4a", 480_000), tmp_path / "b.m4a", 200)
    with pytest.raises(InputError, match=r"is damaged: \d+ packets of sound of 4\d\d"):
        probe_audio(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 32768.0])
def test_samples_that_are_no_sound_are_refused(tmp_path, value):
    with pytest.raises(InputError, match=r"samples of .* full scale is 1; export it again, as 16-bit WAV"):
        probe_audio(with_samples(tmp_path / "a.wav", 0.5, value))


def test_samples_over_full_scale_are_sound(tmp_path):
    assert probe_audio(with_samples(tmp_path / "a.wav", 1.5, -3.0)).samples == 16_000
