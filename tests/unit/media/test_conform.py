from fractions import Fraction

import pytest

from latentsync.errors import InputError
from latentsync.media.conform import prepare_video
from latentsync.media.decode import read_range
from tests.synthetic import ffmpeg, make_video, read_number

FPS = Fraction(25)
pytestmark = pytest.mark.slow


def shown(video) -> list[int]:
    return [read_number(frame.y) for frame in read_range(video, 0, video.frames)]


def test_a_good_file_is_read_where_it_is(numbered, tmp_path):
    assert prepare_video(numbered, FPS, tmp_path).file.path == numbered
    assert not list(tmp_path.iterdir())


def test_a_stream_without_index_is_remuxed_once(numbered, tmp_path):
    ffmpeg("-i", numbered, "-c", "copy", tmp_path / "a.ts")
    video = prepare_video(tmp_path / "a.ts", FPS, tmp_path / "work")
    assert (video.codec, video.sequential, video.has_audio) == ("h264", False, True)
    assert video.frames in (100, 101)
    assert sorted(set(shown(video))) == list(range(100))
    made = video.file.path.stat().st_mtime_ns
    assert prepare_video(tmp_path / "a.ts", FPS, tmp_path / "work").file.path.stat().st_mtime_ns == made
    assert [path.name for path in (tmp_path / "work").glob("[!.]*")] == [video.file.path.name]


def test_a_damaged_copy_is_made_again(numbered, tmp_path):
    ffmpeg("-i", numbered, "-c", "copy", tmp_path / "a.ts")
    first = prepare_video(tmp_path / "a.ts", FPS, tmp_path / "work")
    whole = first.file.path.read_bytes()
    first.file.path.write_bytes(whole[: len(whole) // 2])
    assert prepare_video(tmp_path / "a.ts", FPS, tmp_path / "work").file.sha256 == first.file.sha256


def test_sound_that_matroska_does_not_hold_is_recoded(numbered, tmp_path):
    ffmpeg("-i", numbered, "-c:v", "copy", "-c:a", "pcm_bluray", tmp_path / "a.m2ts")
    video = prepare_video(tmp_path / "a.m2ts", FPS, tmp_path / "work")
    assert (video.codec, video.has_audio, video.sequential) == ("h264", True, False)


@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("a.h264", ["-c:v", "libx264", "-preset", "veryfast"]),
        ("refresh.mp4", ["-c:v", "libx264", "-preset", "veryfast", "-x264-params", "intra-refresh=1:keyint=20"]),
    ],
)
def test_what_cannot_be_entered_is_copied_losslessly(tmp_path, name, coding):
    path = make_video(tmp_path / name, 60, 25, coding)
    video = prepare_video(path, FPS, tmp_path / "work")
    assert (video.codec, video.pix_fmt, video.frames, video.sequential) == ("ffv1", "yuv420p", 60, False)
    assert shown(video) == list(range(60))


def test_an_endless_group_of_pictures_is_copied_losslessly(tmp_path):
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "keyint=infinite:scenecut=0"]
    path = make_video(tmp_path / "endless.mp4", 70, 1, coding)
    assert prepare_video(path, Fraction(1), tmp_path / "work").codec == "ffv1"


def test_a_bad_file_is_refused_without_a_copy(tmp_path):
    (tmp_path / "a.ts").write_bytes(b"not a stream" * 1000)
    with pytest.raises(InputError, match="no media file"):
        prepare_video(tmp_path / "a.ts", FPS, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_frames_before_time_0_are_kept(tmp_path):
    """Matroska cannot say such times: the frames of the first second have none."""
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-output_ts_offset", "-1"]
    path = make_video(tmp_path / "a.mkv", 60, 25, [*coding, "-avoid_negative_ts", "disabled"])
    video = prepare_video(path, FPS, tmp_path / "work")
    assert shown(video) == list(range(60))
