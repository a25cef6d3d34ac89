"""What is read out of ffprobe's answer: the right streams, whatever is missing or in whatever encoding."""

from fractions import Fraction
from pathlib import Path

import pytest

from latentsync.errors import InputError
from latentsync.media.container import Description, describe
from latentsync.media.decode import read_range
from latentsync.media.probe import probe_audio, probe_video
from tests.hostile import with_latin1_title
from tests.synthetic import H264, ffmpeg, make_video, read_number, tone

FPS = Fraction(25)
PICTURES = {"index": 1, "codec_type": "video", "codec_name": "h264", "pix_fmt": "yuv420p", "width": 64, "height": 48}


def described(*streams: dict) -> Description:
    return Description(Path("/a.mp4"), {"format_name": "mov,mp4"}, list(streams))


def test_streams_that_say_little_are_passed_over():
    found = described({"index": 0}, PICTURES, {"codec_type": "data"})
    assert found.video_stream() == PICTURES
    assert not found.has_audio


@pytest.mark.parametrize("missing", ["codec_name", "pix_fmt", "width", "height"])
def test_pictures_that_lack_what_a_decoder_needs_are_refused(missing):
    with pytest.raises(InputError, match=r"/a.mp4: its pictures cannot be decoded"):
        described({name: value for name, value in PICTURES.items() if name != missing}).video_stream()


@pytest.mark.parametrize("sound", [{}, {"codec_name": "aac"}, {"codec_name": "aac", "sample_rate": "0"}])
def test_sound_that_lacks_what_a_decoder_needs_is_refused(sound):
    with pytest.raises(InputError, match=r"/a.mp4: its sound cannot be decoded"):
        described({"index": 0, "codec_type": "audio", **sound}).audio_stream()


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_title_in_latin_1_is_no_obstacle(numbered, tmp_path, name):
    path = with_latin1_title(numbered, tmp_path / name)
    assert probe_video(path, FPS).frames in (100, 101)  # with the samples that AAC begins with
    assert probe_audio(path).samples >= 4 * 48_000


def test_the_default_tracks_are_taken(tmp_path):
    """As players do: the second pictures begin at number 50, the second sound lasts 2 s."""
    first = make_video(tmp_path / "first.mp4", 50, 25, H264, before=None)
    both = make_video(tmp_path / "all.mp4", 100, 25, [*H264, "-g", "10"])
    second = tmp_path / "second.mp4"
    ffmpeg("-ss", "2", "-i", both, *H264, second)
    path, tracks = tmp_path / "a.mkv", ["-map", "0:v", "-map", "1:v", "-map", "2:a", "-map", "3:a", "-c:v", "copy"]
    flags = [f"-disposition:{kind}:{n}" for kind in "va" for n in (0, 1)]
    chosen = [part for pair in zip(flags, ("0", "default") * 2, strict=True) for part in pair]
    ffmpeg("-i", first, "-i", second, *tone(1.0), *tone(2.0), *tracks, "-c:a", "flac", *chosen, path)
    video = probe_video(path, FPS)
    assert (video.stream, video.frames) == (1, 50)
    assert [read_number(frame.y) for frame in read_range(video, 20, 22)] == [70, 71]
    assert probe_audio(path).samples == 2 * 48_000


@pytest.mark.parametrize("name", [b"caf\xe9.mp4", b"x" * 5000, b"a\0b.mp4", b"loop"])
def test_a_name_that_cannot_be_opened_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    with pytest.raises(InputError, match=r"rename it|check the path") as refusal:
        describe(Path(name.decode(errors="surrogateescape")))
    str(refusal.value).encode()  # can be printed
