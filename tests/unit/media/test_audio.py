import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av import AudioStream, VideoStream

from latentsync.media.audio import aac_rate, extract_mono_16k, mux, output_samples
from latentsync.media.probe import probe_audio
from latentsync.media.timeline import Timeline
from tests.synthetic import ffmpeg, make_sound, make_video


def pcm(path: Path, channels: int) -> np.ndarray:
    """(samples, channels) float: the sound as players hear it."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a", "-f", "f32le", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.float32).reshape(-1, channels)


def clicks(sound: np.ndarray, rate_hz: int) -> list[int]:
    """Where, to the sample, the 8 samples long clicks of `make_sound` begin: one in every second."""
    energy = np.convolve(np.abs(sound[:, 0]), np.ones(8), mode="valid")
    seconds = range(0, len(energy) - rate_hz // 2, rate_hz)
    middle = rate_hz // 2
    padded = np.concatenate([np.zeros(middle), energy])
    return [int(np.argmax(padded[second : second + rate_hz])) + second - middle for second in seconds]


def line(frames: int, fps: Fraction | int, voice_frames: int | None = None) -> Timeline:
    voice_frames = frames if voice_frames is None else voice_frames
    return Timeline(fps=Fraction(fps), frames=frames, source_frames=frames, voice_frames=voice_frames, source="cut")


def durations(path: Path) -> tuple[Fraction, Fraction]:
    with av.open(str(path)) as container:
        return _duration(container.streams.video[0]), _duration(container.streams.audio[0])


def _duration(stream: VideoStream | AudioStream) -> Fraction:
    assert stream.duration is not None
    assert stream.time_base is not None
    return stream.duration * stream.time_base


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rate_hz", "channels"),
    [("a.wav", 16_000, 1), ("a.wav", 44_100, 2), ("a.wav", 48_000, 6), ("a.flac", 8_000, 1), ("a.m4a", 48_000, 2)],
)
def test_the_muxed_sound_is_in_time_to_the_sample(silent, tmp_path, name, rate_hz, channels):
    audio = probe_audio(make_sound(tmp_path / name, 3 * rate_hz, rate_hz, channels))
    out = mux(silent, audio, line(50, 25), tmp_path / "out.mp4")
    heard = probe_audio(out)
    assert (heard.sample_rate_hz, heard.channels) == (rate_hz, channels)
    assert clicks(pcm(out, channels), rate_hz)[:2] == [0, rate_hz]
    assert durations(out) == (2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("fps", ["24000/1001", "30000/1001", "60"])
def test_sound_ends_with_the_last_frame(tmp_path, voice, fps):
    video = make_video(tmp_path / "v.mp4", 47, Fraction(fps))
    audio, timeline = probe_audio(voice), line(47, Fraction(fps))
    out = mux(video, audio, timeline, tmp_path / "out.mp4")
    assert durations(out)[1] == Fraction(output_samples(timeline, audio, (0, timeline.frames))[1], 48_000)
    assert 0 <= durations(out)[0] - durations(out)[1] < Fraction(1, 10_000)


def test_a_short_voice_is_followed_by_silence(silent, tmp_path):
    audio = probe_audio(make_sound(tmp_path / "a.wav", 16_000, 16_000))
    out = mux(silent, audio, line(50, 25, voice_frames=25), tmp_path / "out.mp4")
    assert durations(out) == (2, 2)
    assert np.abs(pcm(out, 1)[17_500:]).max() < 1e-3


@pytest.mark.slow
def test_a_short_voice_may_be_followed_by_the_original_sound(silent, tmp_path):
    audio = probe_audio(make_sound(tmp_path / "a.wav", 8_000, 16_000))
    original = probe_audio(make_sound(tmp_path / "b.wav", 2 * 48_000, 48_000, 2))
    timeline = line(50, 25, voice_frames=12)
    out = mux(silent, audio, timeline, tmp_path / "out.mp4", tail="original", original=original)
    assert durations(out) == (2, 2)
    assert probe_audio(out).channels == 1
    assert clicks(pcm(out, 1), 16_000)[1] == pytest.approx(16_000, abs=2)  # the original's, resampled


def test_the_video_is_not_touched(silent, tmp_path, voice):
    out = mux(silent, probe_audio(voice), line(50, 25), tmp_path / "out.mkv")
    packets = []
    for path in (silent, out):
        with av.open(str(path)) as container:
            packets.append([bytes(packet) for packet in container.demux(video=0) if packet.size])
    assert packets[0] == packets[1]


def test_mono_16k_has_every_sample(tmp_path):
    audio = probe_audio(make_sound(tmp_path / "a.wav", 100_001, 44_100, 2))
    mono = probe_audio(extract_mono_16k(audio, tmp_path / "mono.wav"))
    assert (mono.samples, mono.sample_rate_hz, mono.channels) == (36_282, 16_000, 1)
    assert mono.frames(Fraction(25)) >= audio.frames(Fraction(25))


def test_mono_16k_begins_with_the_file(numbered, tmp_path):
    sound = make_sound(tmp_path / "a.wav", 48_000)
    late = tmp_path / "late.mkv"
    ffmpeg("-i", numbered, "-itsoffset", "0.5", "-i", sound, "-map", "0:v", "-map", "1:a", "-c", "copy", late)
    mono = extract_mono_16k(probe_audio(late), tmp_path / "mono.wav")
    assert int(np.argmax(np.abs(pcm(mono, 1)) > 0.3)) == pytest.approx(8_000, abs=2)


@pytest.mark.parametrize(("given", "coded"), [(48_000, 48_000), (37_800, 44_100), (192_000, 96_000), (6_000, 7_350)])
def test_rates_that_aac_lacks_are_raised(given, coded):
    assert aac_rate(given) == coded


@pytest.mark.slow
def test_hevc_is_tagged_for_players_that_insist(tmp_path, voice):
    video = make_video(tmp_path / "v.mkv", 5, 25, ["-c:v", "libx265", "-x265-params", "log-level=error"])
    with av.open(str(mux(video, probe_audio(voice), line(5, 25), tmp_path / "out.mp4"))) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"
