"""Headers that ask for years of work or all memory are refused before anything is decoded."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from latentsync.errors import InputError
from latentsync.media.probe import probe_audio, probe_video
from tests.hostile import box, late_sound, many_streams, with_edits, with_timescale, y4m
from tests.synthetic import ffmpeg, make_sound

FPS = Fraction(25)


def endless(clip: Path, out: Path) -> Path:
    """Two packets, 300 hours apart."""
    ffmpeg("-i", clip, "-map", "0:v", "-c", "copy", "-bsf:v", "setts=ts=N*10800*1000*1000", "-frames:v", "101", out)
    return out


def samples_by_the_billion(clip: Path, out: Path) -> Path:
    """Says that its video has 2^31 samples of one byte each."""
    data = bytearray(clip.read_bytes())
    struct.pack_into(">II", data, box(data, "moov", "trak", "mdia", "minf", "stbl", "stsz") + 4, 1, 2**31)
    out.write_bytes(data)
    return out


VIDEOS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "33,817,291 frames/s": (lambda clip, to: with_timescale(clip, to / "a.mp4", 33_817_291, 1), "frames/s, at most"),
    "811634983/24 frames/s": (lambda clip, to: with_timescale(clip, to / "a.mp4", 811_634_983, 24), "frames/s, at"),
    "1,000,000 frames/s": (lambda _, to: y4m(to / "a.y4m", 64, 48, "1000000:1"), "frames/s, at most 1000"),
    "20,000 edits": (lambda clip, to: with_edits(clip, to / "a.mp4", 20_000), "20000 edits .* at most 200"),
    "100,000 px": (lambda _, to: y4m(to / "a.y4m", 100_000, 100_000, "25:1"), r"pixels \(100000x100000\), at most"),
    "300 hours": (lambda clip, to: endless(clip, to / "a.mkv"), "seconds, at most 86400"),
    "2^31 samples": (lambda clip, to: samples_by_the_billion(clip, to / "a.mp4"), "a.mp4"),
    "65 streams": (lambda clip, to: many_streams(clip, to / "a.mkv", 65), "65 streams, at most 64"),
}


@pytest.mark.parametrize("case", VIDEOS)
def test_a_video_beyond_bounds_is_refused(silent, tmp_path, case):
    make, fact = VIDEOS[case]
    with pytest.raises(InputError, match=fact):
        probe_video(make(silent, tmp_path), FPS)


def test_a_rate_of_its_own_out_of_bounds_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"500 frames/s are outside 1..240; give --fps 25"):
        probe_video(y4m(tmp_path / "a.y4m", 64, 48, "500:1"), None)


def test_sound_that_starts_after_hours_is_refused(silent, tmp_path):
    with pytest.raises(InputError, match="of nothing before or in its sound"):
        probe_audio(late_sound(silent, tmp_path / "a.mkv", 80_000))


def test_a_sound_with_more_channels_than_the_result_can_hold_is_refused(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "anullsrc=cl=22.2:d=0.1", tmp_path / "a.wav")
    with pytest.raises(InputError, match="24 channels, at most 8"):
        probe_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("rate_hz", [100, 1_000_000])
def test_a_sample_rate_of_no_use_is_refused(tmp_path, rate_hz):
    data = bytearray(make_sound(tmp_path / "a.wav", 8_000, 8_000).read_bytes())
    struct.pack_into("<II", data, 24, rate_hz, 2 * rate_hz)
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(InputError, match=f"has {rate_hz} Hz, outside"):
        probe_audio(tmp_path / "a.wav")
