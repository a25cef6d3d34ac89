"""Forecasts of real small files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.cli.app import app
from latentsync.engines.settings import EngineSettings
from latentsync.errors import InputError
from latentsync.forecast.bench_figures import BenchFigure, keep_figure, kept_figure
from latentsync.forecast.cost import amount_of_work, predict
from latentsync.forecast.make import forecast, job_of
from latentsync.forecast.records import Forecast
from latentsync.forecast.trial import StageCost, Trial
from latentsync.review.forecast_page import forecast_page
from latentsync.settings import RunSettings, SegmentSettings, Settings
from tests.conftest import Clip

TRIAL = Trial(
    frames=64,
    find=StageCost(0.2, 0.008),
    generate=StageCost(0.3, 0.02),
    render=StageCost(0.3, 0.02),
    score=StageCost(0.3, 0.01),
    voice_seconds=0.1,
    face_bytes=200_000,
    render_bytes=3_000,
)
GPU = EngineSettings(name="latentsync-1.6")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A user's cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def made(demo_clip: Clip) -> Forecast:
    return forecast(str(demo_clip.video), str(demo_clip.voice), Settings())


@pytest.mark.slow
def test_a_good_job(made):
    assert made.problems == []
    assert (made.lengths.frames, made.lengths.width, made.lengths.height) == (230, 640, 640)
    assert "20 frames) longer" in made.lengths.policy
    assert made.faces.usable_share == 1
    assert made.faces.median_px == pytest.approx(255, abs=15)
    assert [person.why for person in made.faces.people] == ["the only face in its shots"]
    assert made.cost is not None
    assert (made.cost.segments, made.cost.windows, made.cost.gpu_seconds) == (1, 15, 0)
    assert made.cost.work_bytes > 230 * 5_000


@pytest.mark.slow
def test_the_page_needs_nothing_else(made):
    html = forecast_page(made)
    assert made.faces.people[0].thumbnail in html
    assert "http" not in html.replace("http-equiv", "")
    assert "src=" in html
    assert "the only face in its shots" in html


@pytest.mark.slow
def test_names_cannot_carry_html(made):
    html = forecast_page(made.model_copy(update={"video": "/tmp/<script>alert(1)</script>.mp4"}))
    assert "<script>" not in html


def test_a_video_without_a_face_cannot_succeed(numbered, voice):
    found = forecast(str(numbered), str(voice), Settings())
    assert found.cost is None
    assert "none of 6 sampled frames shows a face" in found.problems[0]
    assert [(stretch.end_seconds, stretch.what) for stretch in found.faces.stretches] == [(3.0, "no face")]


def test_missing_weights_and_a_bad_file_are_said(numbered, voice, tmp_path):
    assert "--weights" in forecast(str(numbered), str(voice), Settings(engine=GPU)).problems[0]
    with pytest.raises(InputError, match="no such file"):
        forecast(str(tmp_path / "nothing.mp4"), str(voice), Settings())


def test_the_command_prints_json_and_ends_with_the_reason(numbered, voice, capsys):
    with pytest.raises(InputError, match="none of 6 sampled frames"):
        app(["plan", str(numbered), str(voice), "--json"])
    assert Forecast.model_validate(json.loads(capsys.readouterr().out)).cost is None


def test_seconds_and_price_of_a_gpu_come_from_the_bench(numbered, voice):
    settings = Settings(engine=GPU, run=RunSettings(gpu_price_per_hour=3.6))
    job = job_of(str(numbered), str(voice), settings)
    work = amount_of_work(job, *2 * [np.ones(job.timeline.voice_frames, bool)])
    unknown = predict(job, work, TRIAL, None)
    assert (unknown.gpu_seconds, unknown.price, unknown.wall_seconds) == (None, None, None)
    known = predict(job, work, TRIAL, BenchFigure("a GPU", 2.0, 60.0, 5300))
    assert work.windows == 5
    assert known.gpu_seconds == 10
    assert known.price == pytest.approx(0.01)
    assert known.wall_seconds is not None
    assert known.wall_seconds >= 70


def test_frames_without_a_face_take_no_windows_and_overlaps_count_twice(numbered, voice):
    settings = Settings(segments=SegmentSettings(segment_seconds=1.28, overlap_frames=16))
    job = job_of(str(numbered), str(voice), settings)
    usable = np.ones(job.timeline.voice_frames, bool)
    whole = amount_of_work(job, usable, usable)
    part = usable.copy()
    part[:40] = False
    assert whole.segments == 3
    assert whole.windows == 5 + 2
    assert whole.generated_frames == 75 + 16 + 11
    assert amount_of_work(job, part, usable).windows < whole.windows
    assert amount_of_work(job, usable, ~usable).windows == whole.windows  # this voice never pauses


def test_cost_grows_with_the_work(numbered, voice):
    job = job_of(str(numbered), str(voice), Settings())
    work = amount_of_work(job, *2 * [np.ones(job.timeline.voice_frames, bool)])
    longer = replace(work, generated_frames=10 * work.generated_frames, source_frames=10 * work.source_frames)
    assert predict(job, longer, TRIAL, None).cpu_seconds > predict(job, work, TRIAL, None).cpu_seconds + 10


def test_figures_are_kept_by_engine_and_settings(cache):
    figure = BenchFigure("a GPU", 1.9, 42.0, 5300)
    assert kept_figure(GPU) is None
    keep_figure(GPU, figure)
    assert kept_figure(GPU) == figure
    assert kept_figure(GPU.model_copy(update={"latentsync": GPU.latentsync.model_copy(update={"steps": 10})})) is None
    other_seed = GPU.latentsync.model_copy(update={"seed": 5, "weights": Path("/weights")})
    assert kept_figure(GPU.model_copy(update={"latentsync": other_seed})) == figure
    assert len(json.loads((cache / "lipsync/bench.json").read_text())) == 1
