"""An engine and a stage that stand in this file alone go through a whole job: nothing else has to know them."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from prefect import flow

from flows.lipsync import lipsync
from flows.observe.progress import listening
from flows.observe.watch import Watch
from latentsync.engines.settings import ENGINES
from latentsync.engines.spec import EngineSpec
from latentsync.faces.alignment import Alignment
from latentsync.group import Group
from latentsync.job import Job, Plan
from latentsync.media.encode import read_faces
from latentsync.publishing.report import Report
from latentsync.records import Artefact, Segment
from latentsync.segments.part import face_chunks
from latentsync.settings import Settings
from tasks.finish import join, publish
from tasks.prepare import find_faces, plan, probe, track, voice
from tasks.progress import Progress
from tasks.reporting import make_report
from tasks.run import Run
from tasks.segments import generate, render
from tasks.stages import file_stage, later
from tests.conftest import Clip

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

LEVEL = 200


class Painter:
    """Paints faces in one grey."""

    resolution_px, windows_per_batch = 64, 1

    def preload(self) -> None: ...

    def extract_voice(self, audio: Path, fps: Fraction, frames: int, out: Path) -> None:
        np.save(out, np.zeros((frames, 1)))

    def session(self, voice, fps, clip):
        return self

    def generate(self, batch):
        return [np.full_like(window.faces, LEVEL) for window in batch]


PAINTER = EngineSpec(
    name="painter",
    settings=Group,
    resolution_px=lambda _: 64,
    rows_heard=lambda frame, fps: range(frame, frame + 1),
    load=lambda settings, gpu: Painter(),
    alignment=Alignment(((10, 15), (65, 15), (37.5, 42))),
)


@file_stage("brightness-{segment.index:03d}", lambda job, faces, segment: [faces.sha256], ".json")
def brightness(out: Path, progress: Progress, job: Job, faces: Artefact, segment: Segment) -> None:
    """Mean level of a segment's faces."""
    frames = list(read_faces(faces.path, 0, segment.frames))
    progress.frames(len(frames))
    out.write_text(json.dumps(float(np.mean(frames))))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(ENGINES, "_specs", dict(ENGINES._specs))
    ENGINES.register(PAINTER)
    groups = {"engine": {"name": "painter"}, "run": {"work_dir": str(tmp_path / "work"), "retries": 0}}
    return Settings.model_validate(groups)


def test_an_engine_of_this_file_makes_the_faces_of_a_job(clip: Clip, settings: Settings, tmp_path: Path) -> None:
    report = lipsync(str(clip.video), str(clip.voice), str(tmp_path / "out.mp4"), settings)
    assert report.engine == "painter"
    (faces,) = (tmp_path / "work").glob("*/generate/*.mkv")
    assert {level for face in read_faces(faces, 0, 1) for level in np.unique(face)} == {LEVEL}
    (found,) = (tmp_path / "work").glob("*/track/*.npy")
    rows = np.load(found)[np.load(found)["face"]]
    crops = np.einsum("tij,tpj->tpi", rows["matrix"][..., :2], rows["points"])
    np.testing.assert_allclose(_spread(crops), _spread(np.array(PAINTER.alignment.points)[None])[0] * 64 / 256 * 2.8)


def _spread(points: np.ndarray) -> np.ndarray:
    return np.std(points - points.mean(axis=1, keepdims=True), axis=(1, 2))


def test_a_stage_of_this_file_is_kept_shown_and_reported(clip: Clip, settings: Settings, tmp_path: Path) -> None:
    @flow(persist_result=False)
    def with_brightness(output: str) -> Report:
        with Run(settings) as run, Watch(run) as watch:
            job: Job = run.wait(probe.submit(str(clip.video), str(clip.voice), output, settings))
            features = later(voice.submit(job))
            faces_found = [later(find_faces.submit(job, chunk)) for chunk in face_chunks(job)]
            job_plan: Plan = run.wait(plan.submit(job, later(track.submit(job, faces_found))))
            (segment,) = job_plan.segments
            faces = later(generate.submit(job, job_plan, features, segment))
            measured = run.wait(brightness.submit(job, faces, segment))
            rendered = later(render.submit(job, job_plan, segment, faces, None, None))
            published = run.wait(publish.submit(job, later(join.submit(job, job_plan, [rendered]))))
            assert float(measured.path.read_text()) == LEVEL
            return make_report(run, job, job_plan, published, watch.memory_peaks)

    heard = []
    with listening(heard.append):
        first, again = with_brightness(str(tmp_path / "a.mp4")), with_brightness(str(tmp_path / "b.mp4"))
    assert heard[-1]["brightness"].done == heard[-1]["brightness"].total == first.frames
    assert not first.segments[0].tasks["brightness"].cached
    assert again.segments[0].tasks["brightness"].cached
    assert again.stages["brightness"].cached == 1
    assert first.output.sha256 == again.output.sha256
