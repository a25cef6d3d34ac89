import subprocess
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from latentsync.errors import InputError, InternalError, TransientError
from latentsync.media.decode import read_range, read_rgb, read_timeline
from latentsync.media.probe import probe_video
from latentsync.media.timeline import Timeline
from tests.processes import ffmpeg_children
from tests.synthetic import make_video, read_number

FPS = Fraction(25)


def numbers(frames) -> list[int]:
    return [read_number(frame.y, frame.layout.bit_depth) for frame in frames]


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (24, 27), (49, 62), (99, 100), (60, 60)])
def test_a_range_holds_its_frames(numbered, start, stop):
    assert numbers(read_range(probe_video(numbered, FPS), start, stop)) == list(range(start, stop))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("yuv420p.mp4", ["-c:v", "libx264", "-pix_fmt", "yuv420p"]),
        ("yuv422p.mp4", ["-c:v", "libx264", "-pix_fmt", "yuv422p"]),
        ("yuv444p.mp4", ["-c:v", "libx264", "-pix_fmt", "yuv444p"]),
        ("yuv420p10le.mp4", ["-c:v", "libx264", "-pix_fmt", "yuv420p10le"]),
        ("yuv422p12le.mkv", ["-c:v", "ffv1", "-pix_fmt", "yuv422p12le"]),
        ("yuvj420p.avi", ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"]),
    ],
)
def test_planes_are_those_of_ffmpegs_own_decode(tmp_path, name, coding):
    path = make_video(tmp_path / name, 12, 25, coding)
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-"]
    own = subprocess.run(command, capture_output=True, check=True).stdout
    video = probe_video(path, FPS)
    assert video.pix_fmt == path.stem.replace("yuvj", "yuv")
    planes = [plane.tobytes() for frame in read_range(video, 0, 12) for plane in frame.planes()]
    assert b"".join(planes) == own


def test_frames_stay_valid_while_others_are_read(numbered):
    video = probe_video(numbered, FPS)
    held = list(read_range(video, 0, 30))
    assert numbers(held) == list(range(30))


def test_closing_early_leaves_no_process(numbered):
    frames = read_range(probe_video(numbered, FPS), 0, 100)
    next(frames)
    assert ffmpeg_children()
    frames.close()
    assert not ffmpeg_children()


def test_a_range_beyond_the_video_is_our_mistake(numbered):
    with pytest.raises(InternalError, match=r"\[0, 100\), asked for \[90, 101\)"):
        next(read_range(probe_video(numbered, FPS), 90, 101))


def test_a_killed_ffmpeg_is_worth_a_retry(numbered):
    with closing(read_range(probe_video(numbered, FPS), 0, 100)) as frames:
        next(frames)
        ffmpeg_children()[0].kill()
        with pytest.raises(TransientError, match="killed by signal 9"):
            list(frames)
    assert not ffmpeg_children()


def test_a_file_that_shrinks_after_the_probe_is_named(numbered, tmp_path):
    path = tmp_path / "shrinking.mp4"
    path.write_bytes(numbered.read_bytes())
    video = probe_video(path, FPS)
    path.write_bytes(numbered.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="shrinking"):
        list(read_range(video, 0, 100))


def test_sequential_sources_give_the_same_frames(numbered):
    video = probe_video(numbered, FPS).model_copy(update={"sequential": True})
    assert numbers(read_range(video, 70, 75)) == list(range(70, 75))


def test_rgb_is_reduced_with_its_scale(numbered):
    scale, frames = read_rgb(probe_video(numbered, FPS), 10, 13, long_side_px=160)
    frames = list(frames)
    assert scale == 0.5
    assert [frame.shape for frame in frames] == [(120, 160, 3)] * 3
    assert frames[0].dtype == np.uint8


def test_rgb_is_never_enlarged(numbered):
    scale, frames = read_rgb(probe_video(numbered, FPS), 0, 1, long_side_px=4000)
    assert (scale, next(frames).shape) == (1.0, (240, 320, 3))


@pytest.mark.slow
@pytest.mark.parametrize("source", ["loop", "bounce", "hold"])
def test_a_timeline_longer_than_the_source(numbered, source):
    video = probe_video(numbered, FPS)
    timeline = Timeline(fps=FPS, frames=250, source_frames=100, voice_frames=250, source=source)
    for start, end in ((90, 130), (180, 215)):
        shown = numbers(read_timeline(video, timeline, start, end))
        assert shown == timeline.source_indices(start, end).tolist()


def test_reading_backwards_in_blocks(numbered, monkeypatch):
    video = probe_video(numbered, FPS)
    monkeypatch.setattr("latentsync.media.decode.REVERSE_BLOCK_BYTES", 5 * 320 * 240 * 3 // 2)
    timeline = Timeline(fps=FPS, frames=198, source_frames=100, voice_frames=198, source="bounce")
    assert numbers(read_timeline(video, timeline, 100, 123)) == list(range(98, 75, -1))


def test_paths_are_taken_literally(numbered, tmp_path: Path):
    path = tmp_path / "50% of 'that', [copy];1.mp4"
    path.write_bytes(numbered.read_bytes())
    assert numbers(read_range(probe_video(path, FPS), 30, 32)) == [30, 31]
