from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from latentsync.errors import InputError
from latentsync.media.container import nominal_rate
from latentsync.media.pixels import layout_of, planar_format
from latentsync.media.probe import probe_audio, probe_video
from tests.synthetic import H264, ffmpeg, make_sound, make_video, tone

FPS = Fraction(25)


def cut_short(source: Path, out: Path, percent: int = 60) -> Path:
    out.write_bytes(source.read_bytes()[: source.stat().st_size * percent // 100])
    return out


def copied(source: Path, out: Path, *options: str) -> Path:
    ffmpeg("-i", source, "-c", "copy", *options, out)
    return out


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def cover_only(path: Path) -> Path:
    sound = make_sound(path.with_name("a.mp3"), 4800)
    ffmpeg("-f", "lavfi", "-i", "color", "-frames:v", "1", path.with_name("cover.png"))
    streams = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v", "attached_pic"]
    ffmpeg("-i", sound, "-i", path.with_name("cover.png"), *streams, path)
    return path


def encrypted(source: Path, path: Path) -> Path:
    keys = [
        "-encryption_key",
        "76a6c65c5ea762046bd749a2e632ccbb",
        "-encryption_kid",
        "a7e61c373e219033c21091fa607bf3b8",
    ]
    return copied(source, path, "-an", "-encryption_scheme", "cenc-aes-ctr", *keys)


BAD_VIDEOS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "missing": (lambda _, to: to / "none.mp4", "no such file"),
    "a folder": (lambda _, to: folder(to / "folder.mp4"), "is not a file"),
    "empty": (lambda _, to: written(to / "empty.mp4", b""), "0 bytes"),
    "text": (lambda _, to: written(to / "text.mp4", b"Dear all,\nplease find attached\n" * 50), "no media file"),
    "plain text": (lambda _, to: written(to / "notes.txt", b"Dear all,\n" * 50), "text file"),
    "random bytes": (lambda _, to: written(to / "noise.mp4", bytes(range(256)) * 99), "no media file"),
    "only sound": (lambda _, to: make_sound(to / "sound.wav", 4800), "sound only"),
    "only a cover": (lambda _, to: cover_only(to / "cover.mp3"), "sound only"),
    "a picture": (lambda clip, to: copied(clip, to / "still.png", "-c:v", "png", "-frames:v", "1"), "still picture"),
    "an index at the lost end": (lambda clip, to: cut_short(clip, to / "cut.mp4"), "truncated"),
    "a lost end": (
        lambda clip, to: cut_short(copied(clip, to / "whole.mp4", "-movflags", "+faststart"), to / "cut.mp4"),
        r"truncated: 2\.\d+ seconds of 4 ",
    ),
    "a lost end of .mkv": (lambda clip, to: cut_short(copied(clip, to / "whole.mkv"), to / "cut.mkv"), "truncated"),
    "a lost end of .avi": (lambda clip, to: cut_short(copied(clip, to / "whole.avi"), to / "cut.avi"), "truncated"),
    "copy protection": (lambda clip, to: encrypted(clip, to / "drm.mp4"), "copy-protected"),
}


@pytest.mark.parametrize("case", BAD_VIDEOS)
def test_bad_videos_are_refused_by_name(numbered, tmp_path, case):
    make, fact = BAD_VIDEOS[case]
    path = make(numbered, tmp_path)
    with pytest.raises(InputError, match=fact) as refusal:
        probe_video(path, FPS)
    assert str(path) in str(refusal.value)


BAD_SOUNDS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "missing": (lambda _, to: to / "none.wav", "no such file"),
    "empty": (lambda _, to: written(to / "empty.wav", b""), "0 bytes"),
    "a header only": (lambda _, to: cut_short(make_sound(to / "a.wav", 48_000), to / "b.wav", 0), "0 bytes"),
    "a lost end of .wav": (lambda _, to: cut_short(make_sound(to / "a.wav", 48_000), to / "b.wav"), "truncated"),
    "a lost end of .flac": (lambda _, to: cut_short(make_sound(to / "a.flac", 96_000), to / "b.flac"), "truncated"),
    "no sound track": (lambda clip, to: copied(clip, to / "silent.mp4", "-an"), "has no sound"),
}


@pytest.mark.parametrize("case", BAD_SOUNDS)
def test_bad_sounds_are_refused_by_name(numbered, tmp_path, case):
    make, fact = BAD_SOUNDS[case]
    path = make(numbered, tmp_path)
    with pytest.raises(InputError, match=fact) as refusal:
        probe_audio(path)
    assert str(path) in str(refusal.value)


def test_a_video_is_described(numbered):
    video = probe_video(numbered, None)
    assert (video.width_px, video.height_px, video.fps, video.frames) == (320, 240, 25, 100)
    assert (video.pix_fmt, video.codec, video.has_audio, video.sequential) == ("yuv420p", "h264", True, False)


def test_frames_are_counted_at_the_asked_rate(numbered):
    counts = {fps: probe_video(numbered, Fraction(fps)).frames for fps in ("25", "50", "30000/1001", "12")}
    assert counts == {"25": 100, "50": 200, "30000/1001": 120, "12": 48}


def test_rotation_turns_size_and_pixel_shape(tmp_path):
    plain = make_video(tmp_path / "plain.mp4", 5, 25, [*H264, "-vf", "setsar=4/3"])
    video = probe_video(copied(plain, tmp_path / "turned.mp4", "-metadata:s:v:0", "rotate=90"), FPS)
    assert (video.width_px, video.height_px, video.sample_aspect_ratio) == (240, 320, Fraction(3, 4))
    assert video.rotation_degrees in (90, 270)


@pytest.mark.parametrize(
    ("source", "size", "rotation", "planar"),
    [
        ("yuv420p", (320, 240), 0, "yuv420p"),
        ("yuvj420p", (320, 240), 0, "yuv420p"),
        ("nv12", (320, 240), 0, "yuv420p"),
        ("p010le", (320, 240), 90, "yuv420p10le"),
        ("yuv420p", (321, 240), 0, "yuv444p"),
        ("yuv422p", (320, 241), 0, "yuv422p"),
        ("yuv422p", (320, 241), 90, "yuv444p"),
        ("yuv411p", (320, 240), 0, "yuv444p"),
        ("yuva420p", (320, 240), 0, "yuv420p"),
        ("gbrp10le", (320, 240), 0, "yuv444p10le"),
        ("rgb24", (320, 240), 0, "yuv444p"),
        ("pal8", (320, 240), 0, "yuv444p"),
        ("gray", (320, 240), 0, "yuv420p"),
        ("yuv422p12le", (320, 240), 0, "yuv422p12le"),
        ("yuv420p9le", (320, 240), 0, "yuv420p10le"),
        ("gbrp16le", (320, 240), 0, "yuv444p12le"),
    ],
)
def test_every_pixel_format_has_a_planar_one(source, size, rotation, planar):
    assert planar_format(source, size[0], size[1], rotation) == planar


@pytest.mark.parametrize(
    ("size", "space", "matrix"),
    [((1920, 1080), None, "bt709"), ((720, 576), None, "bt601"), ((64, 64), "bt2020nc", "bt2020")],
)
def test_the_matrix_is_the_tagged_or_the_usual_one(silent, size, space, matrix):
    update = {"width_px": size[0], "height_px": size[1], "color_space": space}
    assert layout_of(probe_video(silent, FPS).model_copy(update=update)).matrix == matrix


@pytest.mark.parametrize(
    ("average", "rate"),
    [
        ("25/1", "25"),
        ("2997/100", "30000/1001"),
        ("24000/1001", "24000/1001"),
        ("24/1", "24"),
        ("24831/1000", "25"),
        ("15/1", "15"),
        ("0/0", "50"),
    ],
)
def test_the_nominal_rate_is_a_standard_one(average, rate):
    assert nominal_rate({"avg_frame_rate": average, "r_frame_rate": "50/1"}) == Fraction(rate)


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (16_000, 1), (44_100, 2), (48_000, 6)])
def test_samples_are_counted_exactly(tmp_path, rate_hz, channels):
    audio = probe_audio(make_sound(tmp_path / "a.wav", 12_345, rate_hz, channels))
    assert (audio.samples, audio.sample_rate_hz, audio.channels) == (12_345, rate_hz, channels)


def test_a_late_sound_track_counts_from_the_start_of_the_file(numbered, tmp_path):
    path = tmp_path / "late.mkv"
    ffmpeg(
        "-i",
        numbered,
        "-itsoffset",
        "0.5",
        *tone(1.0),
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c:v",
        "copy",
        "-c:a",
        "flac",
        path,
    )
    assert probe_audio(path).samples == 72_000


def test_a_wav_from_a_pipe_has_no_promise_to_break(tmp_path):
    path = make_sound(tmp_path / "a.wav", 48_000)
    header = bytearray(path.read_bytes())
    header[4:8] = header[74:78] = b"\xff\xff\xff\xff"
    assert probe_audio(written(tmp_path / "streamed.wav", bytes(header))).samples == 48_000
