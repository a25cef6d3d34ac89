"""The forecast as a stage: one result per job."""

import shutil

import pytest

from latentsync.settings import Settings
from tasks.forecast import forecast
from tasks.prepare import probe


@pytest.fixture
def job(numbered, voice, tmp_path):
    settings = Settings.model_validate({"run": {"work_dir": str(tmp_path / "work")}})
    video = shutil.copy(numbered, tmp_path / "video.mp4")
    return probe.run(str(video), str(voice), str(tmp_path / "out.mp4"), settings).value


def test_it_is_the_same_result_for_the_same_job(job):
    other = job.model_copy(update={"settings": Settings.model_validate({"engine": {"name": "latentsync"}})})
    assert forecast.key_of({"job": job}) == forecast.key_of({"job": job.model_copy(update={"output": "elsewhere.mp4"})})
    assert forecast.key_of({"job": job}) != forecast.key_of({"job": other})


def test_it_says_what_was_seen(job):
    foreseen = forecast.run(job).value
    assert foreseen.lengths.frames == job.timeline.frames
    assert "shows a face" in foreseen.problems[0]
