"""Clips that trouble naive readers: every range, every count, every joined file must be exact."""

import hashlib
import subprocess
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from latentsync.media.audio import mux
from latentsync.media.conform import prepare_video
from latentsync.media.decode import read_range
from latentsync.media.encode import VideoClipWriter
from latentsync.media.frames import Frame
from latentsync.media.probe import probe_audio, probe_video
from latentsync.media.timeline import plan_timeline
from latentsync.records import VideoInfo
from latentsync.settings import EncodeSettings
from latentsync.stitching.check import check_output
from latentsync.stitching.join import join_clips
from tests.synthetic import HOSTILE, make_sound, read_number

pytestmark = pytest.mark.slow
FPS = Fraction(25)
FASTEST = EncodeSettings(preset="ultrafast", crf=23)
STEPS = {  # source frames from one output frame to the next, where it is not always one
    "23.976.mp4": {0, 1},
    "29.97.mp4": {1, 2},
    "30.mp4": {1, 2},
    "50.mp4": {2},
    "60.mkv": {2, 3},
    "vfr.mkv": {0, 1, 2},
    "late_start.mp4": {0, 1},
    "stream.ts": {0, 1},
}


@pytest.fixture(scope="module", params=HOSTILE)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def video(name: str, clips: Path) -> VideoInfo:
    HOSTILE[name](clips / name)
    return prepare_video(clips / name, FPS, clips / "conformed")


@pytest.fixture(scope="module")
def whole(video: VideoInfo) -> list[Frame]:
    """All frames, read from the beginning of the file to its end."""
    return list(read_range(video.model_copy(update={"sequential": True}), 0, video.frames))


def digests(frames: Iterable[Frame]) -> list[str]:
    return [hashlib.sha256(b"".join(plane.tobytes() for plane in frame.planes())).hexdigest() for frame in frames]


def upright(luma: np.ndarray, video: VideoInfo) -> np.ndarray:
    """The luma as it was painted, before the player turned it."""
    return np.rot90(luma, -video.rotation_degrees // 90)


def test_the_count_is_that_of_reading_to_the_end(video):
    command = ["ffmpeg", "-v", "error", "-copyts", "-start_at_zero", "-i", str(video.file.path), "-map", "0:V:0"]
    command += ["-vf", f"fps={FPS}:start_time=0", "-fps_mode", "passthrough", "-f", "framecrc", "-"]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    assert video.frames == sum(not line.startswith("#") for line in lines)


def test_every_range_is_a_piece_of_the_whole(video, whole):
    expected = digests(whole)
    assert len(expected) == video.frames
    for start in range(0, video.frames, 19):
        stop = min(start + 14, video.frames)
        assert digests(read_range(video, start, stop)) == expected[start:stop], f"[{start}, {stop})"


def test_each_output_frame_shows_the_right_source_frame(name, video, whole):
    numbers = [read_number(upright(frame.y, video), frame.layout.bit_depth) for frame in whole]
    assert set(np.diff(numbers)) == STEPS.get(name, {1})


def test_three_segments_and_a_voice_make_an_exact_file(video, tmp_path):
    rate_hz = 44_100
    voice = make_sound(tmp_path / "voice.wav", video.frames * rate_hz // 25, rate_hz)
    audio = probe_audio(voice)
    timeline = plan_timeline(video, audio)
    cuts = [0, 17, 41, timeline.frames]
    paths = [tmp_path / f"{start}.mp4" for start in cuts[:-1]]
    for path, start, stop in zip(paths, cuts[:-1], cuts[1:], strict=True):
        with VideoClipWriter(path, video, stop - start, FASTEST) as clip:
            for frame in read_range(video, start, stop):
                clip.write(frame)
    join_clips(paths, np.diff(cuts).tolist(), FPS, tmp_path / "joined.mp4")
    out = mux(tmp_path / "joined.mp4", audio, timeline, tmp_path / "out.mp4")
    check_output(out, video.frames, FPS, video.width_px, video.height_px, cuts[:-1], Fraction(video.frames, 25))
    written = probe_video(out, None)
    kept = ("frames", "fps", "pix_fmt", "width_px", "height_px", "sample_aspect_ratio", "color_space", "color_transfer")
    assert [getattr(written, field) for field in kept] == [getattr(video, field) for field in kept]
    assert (written.color_range or "tv") == (video.color_range or "tv")  # H.264 leaves the usual range unsaid
