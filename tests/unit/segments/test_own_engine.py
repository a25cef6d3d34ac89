"""An engine and a detector that only this file knows make a clip; where the voice pauses, they need not."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field

from latentsync.engines import registry
from latentsync.engines.protocol import ClipContext, FaceWindow
from latentsync.engines.settings import ENGINES
from latentsync.engines.spec import EngineSpec
from latentsync.faces.face import DetectorSpec, Face
from latentsync.faces.points import LIPS_INNER, LIPS_OUTER, MOUTH_POINTS
from latentsync.faces.settings import DETECTORS
from latentsync.group import Group
from latentsync.job import Job, Plan
from latentsync.media.decode import read_timeline
from latentsync.media.encode import read_faces
from latentsync.records import Artefact, ClipFile
from latentsync.segments.generate import session_of
from latentsync.segments.part import face_chunks
from latentsync.segments.render import render_frames
from latentsync.segments.source import Source
from latentsync.settings import Settings
from tasks.prepare import find_faces, plan, probe, track, voice
from tasks.results import Done
from tasks.segments import generate, render
from tests.unit.segments.test_silence import write_voice

pytestmark = pytest.mark.slow

SIZE_PX = 64
PAUSE = slice(40, 70)  # frames at 25 frames/s


class PaintSettings(Group):
    """Paints every face in one grey."""

    level: int = Field(default=200, ge=0, le=255, description="Grey level")


class Painter:
    resolution_px, windows_per_batch = SIZE_PX, 2

    def __init__(self, settings: PaintSettings) -> None:
        self.level = settings.level
        self.painted: list[tuple[int, int]] = []
        self.clips: list[ClipContext] = []

    def preload(self) -> None: ...

    def extract_voice(self, audio: Path, fps: Fraction, frames: int, out: Path) -> None:
        with open(out, "wb") as file:
            np.save(file, np.arange(frames))

    def session(self, voice: Path, fps: Fraction, clip: ClipContext) -> "Painter":
        self.clips.append(clip)
        return self

    def generate(self, batch: Sequence[FaceWindow]) -> list[np.ndarray]:
        self.painted += [(window.start, window.start + len(window.faces)) for window in batch]
        return [np.full_like(window.faces, self.level) for window in batch]


class Middle:
    """Sees one face with closed lips in the middle of every picture."""

    def detect(self, rgb: np.ndarray) -> list[Face]:
        height, width = rgb.shape[:2]
        x, y = width / 2, height / 2
        mouth = np.full((len(MOUTH_POINTS), 2), (x, y + 20), np.float32)
        mouth[len(LIPS_OUTER) + LIPS_INNER.index(308)] += (20, 0)
        points = np.array([(x - 20, y - 20), (x + 20, y - 20), (x, y)], np.float32)
        return [Face(np.array([x - 50, y - 50, x + 50, y + 50], np.float32), 1.0, points, mouth)]

    def forget(self) -> None: ...


@pytest.fixture
def painter(monkeypatch) -> Painter:
    painters = {level: Painter(PaintSettings(level=level)) for level in (200, 60)}
    monkeypatch.setattr(registry, "_engines", {})  # none is warm yet
    monkeypatch.setattr(ENGINES, "_specs", dict(ENGINES._specs))
    monkeypatch.setattr(DETECTORS, "_specs", dict(DETECTORS._specs))
    ENGINES.register(
        EngineSpec(
            name="painter",
            settings=PaintSettings,
            resolution_px=lambda _: SIZE_PX,
            rows_heard=lambda frame, fps: range(frame, frame + 1),
            load=lambda settings, gpu: painters[settings.level],
        )
    )
    DETECTORS.register(DetectorSpec(name="middle", load=Middle))
    return painters[200]


def prepare(video: Path, folder: Path, silence: str = "keep", **options: int) -> tuple[Job, Plan, Done[Artefact]]:
    sound = write_voice(folder / "voice.wav", [(PAUSE.start / 25, PAUSE.stop / 25)], 4)
    settings = {
        "engine": {"name": "painter", "options": options},
        "faces": {"detector": "middle"},
        "segments": {"silence": silence},
        "run": {"work_dir": str(folder / "work")},
    }
    job = probe.run(str(video), str(sound), str(folder / "out.mp4"), Settings.model_validate(settings)).value
    face_track = track.run(job, [find_faces.run(job, chunk) for chunk in face_chunks(job)])
    return job, plan.run(job, face_track).value, voice.run(job)


def test_the_engine_paints_what_is_spoken_and_the_pause_keeps_its_pixels(painter, numbered, tmp_path):
    job, job_plan, features = prepare(numbered, tmp_path)
    (segment,) = job_plan.segments
    clip = generate.run(job, job_plan, features, segment).value
    painted = np.zeros(100, bool)
    for start, end in painter.painted:
        painted[start:end] = True
    assert painted[: PAUSE.start + 5].all()
    assert painted[PAUSE.stop - 5 :].all()
    assert not painted[PAUSE.start + 5 + 16 : PAUSE.stop - 5].any()
    for face, is_new in zip(read_faces(clip.path, 0, 100), painted, strict=True):
        assert (face == (200 if is_new else 0)).all()

    source = Source.of(job, job_plan)
    faces = ClipFile(file=clip, start=0, end=segment.clip_end)
    brightness = []
    pairs = zip(
        render_frames(source, segment, faces, None), read_timeline(job.video, job.timeline, 0, 100), strict=True
    )
    for (result, original), is_new in zip(pairs, painted, strict=True):
        same = all(np.array_equal(one, other) for one, other in zip(result.planes(), original.planes(), strict=True))
        assert same != is_new
        brightness.append(float(result.y[110:130, 150:170].astype(int).mean() - original.y[110:130, 150:170].mean()))
    steps = [abs(after - before) for before, after in pairwise(brightness)]
    assert max(steps) < 0.35 * max(map(abs, brightness)), "the new face pops in or out"


def test_a_whole_clip_is_rendered_with_it(painter, numbered, tmp_path):
    job, job_plan, features = prepare(numbered, tmp_path, silence="generate")
    (segment,) = job_plan.segments
    faces = generate.run(job, job_plan, features, segment)
    assert painter.painted == [(start, min(start + 16, 100)) for start in range(0, 100, 16)]
    rendered = render.run(job, job_plan, segment, faces, None, None).value
    assert rendered.size_bytes > 0


def test_all_sessions_of_a_job_look_at_the_same_clip_and_its_faces_are_read_once(painter, numbered, tmp_path):
    job, job_plan, features = prepare(numbered, tmp_path)
    other_job, other_plan, other_features = prepare(numbered, tmp_path, silence="generate")
    for _ in range(2):
        session_of(job, Plan.model_validate(job_plan.model_dump()), features.value, painter)  # as it travels to a task
    session_of(other_job, other_plan, other_features.value, painter)
    one, same, other = painter.clips
    assert one is same
    assert other is not one
    assert one.read_face(3) is one.read_face(3)


def test_its_settings_are_in_the_key(painter, numbered, tmp_path):
    keys = []
    for level in (200, 60):
        job, job_plan, features = prepare(numbered, tmp_path, level=level)
        given = {"job": job, "plan": job_plan, "voice": features, "segment": job_plan.segments[0]}
        keys.append(generate.key_of(given))
    assert keys[0] != keys[1]
