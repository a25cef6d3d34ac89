"""Frames that are compared with the source's, on a real file of 100 frames with a key frame every 25."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from latentsync.job import Job
from latentsync.media.probe import probe_audio, probe_video
from latentsync.media.timeline import plan_timeline
from latentsync.segments.compared import compared_ranges
from latentsync.segments.plan import plan_segments
from latentsync.settings import Settings
from tests.synthetic import make_sound

FRAMES = 100
NEW = np.full(FRAMES, 255, np.uint8)


@pytest.fixture
def job(numbered: Path, tmp_path: Path) -> Job:
    video, sound = probe_video(numbered, Fraction(25)), probe_audio(make_sound(tmp_path / "a.wav", 192_000, 48_000, 1))
    timeline = plan_timeline(video, sound, "cut", "cut")
    return Job(video=video, audio=sound, original_sound=None, timeline=timeline, output="/o.mp4", settings=Settings())


def ranges(job: Job, opacity: np.ndarray, length: int = FRAMES, joined: tuple[int, int] | None = None) -> list:
    segments = plan_segments(FRAMES, length, 0)
    return compared_ranges(job, opacity, segments, joined or (0, len(segments))).tolist()


def test_they_follow_a_key_frame_by_the_margin_of_a_reader(job: Job) -> None:
    assert ranges(job, NEW) == [[51, 76]]  # near the middle, 37; the reader enters at 25


def test_they_are_in_the_middle_where_that_would_leave_the_segment(job: Job) -> None:
    assert ranges(job, NEW, 50) == [[11, 36], [13, 38]]  # of frames 0 to 48 and 48 to 100


def test_they_are_in_the_middle_of_a_file_that_is_read_from_its_start(job: Job) -> None:
    video = job.video.model_copy(update={"sequential": True})
    assert ranges(job.model_copy(update={"video": video}), NEW) == [[37, 62]]


def test_they_are_the_longest_stretch_of_new_faces_and_none_without(job: Job) -> None:
    opacity = np.zeros(FRAMES, np.uint8)
    opacity[10:20], opacity[22:25] = 255, 255
    assert ranges(job, opacity, 50) == [[10, 20], [0, 0]]


def test_segments_that_are_not_joined_have_none(job: Job) -> None:
    assert ranges(job, NEW, 50, (1, 2)) == [[0, 0], [13, 38]]
