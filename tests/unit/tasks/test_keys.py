"""A content key changes with what matters to the work, and with nothing else."""

import pickle
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from latentsync.engines.settings import ENGINES
from latentsync.engines.warp.spec import WARP
from latentsync.faces.alignment import Alignment
from latentsync.faces.track import TRACK_DTYPE
from latentsync.job import Job, Plan
from latentsync.media.timeline import Timeline
from latentsync.records import Artefact, AudioInfo, Segment, VideoInfo
from latentsync.segments.plan import write_segments
from latentsync.settings import Settings
from tasks.finish import join
from tasks.prepare import track
from tasks.results import Done, Took
from tasks.segments import generate, render

SEGMENT = Segment(index=1, start=48, end=96, clip_end=112)


class World:
    """A job of 160 frames in files of its own, with one thing after the other changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: dict[str, dict] = {}
        self.track = np.zeros(160, TRACK_DTYPE)
        self.opacity = np.full(160, 255, np.uint8)
        self.voice_samples = 102_400
        self.voice_rows = np.arange(320, dtype=np.int16).reshape(160, 2)

    def file(self, name: str, content: bytes | None = None) -> Artefact:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if content is not None else name.encode())
        return Artefact.of(path)

    def array(self, name: str, array: np.ndarray) -> Artefact:
        np.save(self.folder / name, array)
        return Artefact.of(self.folder / name)

    def job(self, video: Artefact | None = None, output: str = "/out.mp4") -> Job:
        sound = AudioInfo(
            file=self.file("voice.wav"), codec="pcm", sample_rate_hz=16_000, channels=1, samples=self.voice_samples
        )
        info = VideoInfo(
            file=video or self.file("video.mp4"), container="mp4", codec="h264", width_px=640, height_px=480,
            fps=Fraction(25), source_fps=Fraction(25), frames=160, pix_fmt="yuv420p", color_range="tv",
            color_space="bt709", color_primaries="bt709", color_transfer="bt709", sample_aspect_ratio=Fraction(1),
            rotation_degrees=0, has_audio=True, sequential=False,
        )  # fmt: skip
        timeline = Timeline(fps=Fraction(25), frames=160, source_frames=160, voice_frames=160, source="cut")
        settings = Settings.model_validate(self.settings)
        return Job(video=info, audio=sound, original_sound=None, timeline=timeline, output=output, settings=settings)

    def plan(self) -> Plan:
        windows = np.array([(s, s + 16) for s in range(0, 160, 16)], np.int32)
        cuts = self.folder / "cuts.npy"
        write_segments([SEGMENT], cuts)
        return Plan(
            track=self.array("track.npy", self.track), windows=self.array("windows.npy", windows),
            opacity=self.array("opacity.npy", self.opacity), mouth=self.file("mouth.npy"),
            loudness=self.file("loudness.npy"), cuts=Artefact.of(cuts), frames_with_face=160,
            mouth_start=0, made=(0, 1), joined=(0, 1), compared=self.file("compared.npy"),
        )  # fmt: skip

    def generate_key(self, video: Artefact | None = None, output: str = "/out.mp4") -> str:
        given = {"job": self.job(video, output), "plan": self.plan(), "segment": SEGMENT}
        return generate.key_of({**given, "voice": self.array("voice.npy", self.voice_rows)})

    def render_key(self, faces: bytes = b"faces", seconds: float = 1.0) -> str:
        def done(name: str, content: bytes) -> Done:
            took = Took(run="", task="", seconds=seconds, attempts=1, worker="here", peak_rss_mib=1)
            return Done(value=self.file(name, content), took=took)

        given = {"job": self.job(), "plan": self.plan(), "segment": SEGMENT, "before": SEGMENT}
        return render.key_of({**given, "faces": done("f", faces), "earlier": done("p", b"previous")})

    def join_key(self, output: str = "/out.mp4") -> str:
        return join.key_of({"job": self.job(output=output), "plan": self.plan(), "renders": [self.file("r")]})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_keys_are_fit_for_file_names_and_prefect(world: World) -> None:
    assert world.generate_key().startswith("generate-")
    assert "." not in world.generate_key()
    assert "/" not in world.generate_key()


def test_the_same_video_under_another_path_is_a_hit(world: World) -> None:
    before = world.generate_key()
    assert world.generate_key(video=world.file("elsewhere/copy.mp4", b"video.mp4"), output="/b.mp4") == before


def test_another_video_is_a_miss(world: World) -> None:
    before = world.generate_key()
    assert world.generate_key(video=world.file("video.mp4", b"other frames")) != before


def test_a_new_crf_renders_but_does_not_generate(world: World) -> None:
    faces, rendered = world.generate_key(), world.render_key()
    world.settings = {"encode": {"crf": 23}}
    assert world.generate_key() == faces
    assert world.render_key() != rendered


def test_another_mark_joins_again_and_does_nothing_else(world: World) -> None:
    rendered, joined = world.render_key(), world.join_key()
    assert world.join_key("/elsewhere/name.mp4") == joined
    world.settings = {"mark": {"aigc_producer": "Studio"}}
    assert world.render_key() == rendered
    assert world.join_key() != joined


def test_another_signer_joins_again(world: World) -> None:
    def key(certificate: bytes) -> str:
        path = world.file("chain.pem", certificate).path
        world.settings = {"mark": {"certificate": path, "key": "/key.pem"}}
        return world.join_key()

    assert key(b"one") == key(b"one") != key(b"another")
    assert world.join_key("/elsewhere/name.mp4") != world.join_key()  # the manifest names it


def test_another_voice_matters_only_where_it_is_heard(world: World) -> None:
    before = world.generate_key()
    world.voice_rows[47] += 1
    world.voice_rows[112] += 1
    assert world.generate_key() == before
    world.voice_rows[111] += 1
    assert world.generate_key() != before


def test_faces_made_while_rendering_depend_on_what_makes_them(world: World) -> None:
    def key() -> str:
        given = {"job": world.job(), "plan": world.plan(), "segment": SEGMENT}
        return render.key_of({**given, "voice": world.array("voice.npy", world.voice_rows)})

    before = key()
    assert key() == before
    world.settings = {"engine": {"warp": {"strength": 1.5}}}
    assert key() != before
    world.settings = {"encode": {"crf": 30}}
    assert key() != before
    world.settings = {}
    world.voice_rows[60] += 1
    assert key() != before


def test_what_is_pasted_matters_to_the_render_alone(world: World) -> None:
    faces, rendered = world.generate_key(), world.render_key()
    world.opacity[96] = 100
    assert world.render_key() == rendered
    world.opacity[95] = 100
    assert (world.generate_key(), world.render_key() == rendered) == (faces, False)


def test_the_track_matters_only_where_the_segment_is(world: World) -> None:
    before = world.generate_key(), world.render_key()
    world.track["matrix"][112] += 1
    world.track = np.append(world.track, world.track[:5])  # a longer voice looks at more of the source
    assert (world.generate_key(), world.render_key()) == before
    world.track["matrix"][95] += 1
    assert all(after != key for after, key in zip((world.generate_key(), world.render_key()), before, strict=True))


@pytest.mark.parametrize(
    "settings",
    [
        {"run": {"workers": 7, "retries": 0, "disk_profile": "pl0", "report_dir": "/r", "cache": False}},
        {"engine": {"latentsync": {"seed": 3}}},  # of another engine
    ],
)
def test_settings_that_do_not_change_the_result_are_not_in_the_key(world: World, settings: dict) -> None:
    before = world.generate_key(), world.render_key()
    world.settings = settings
    assert (world.generate_key(), world.render_key()) == before


def test_the_engine_and_its_strength_are_in_the_key(world: World) -> None:
    before = world.generate_key()
    world.settings = {"engine": {"warp": {"strength": 1.5}}}
    stronger = world.generate_key()
    world.settings = {"engine": {"name": "latentsync-1.6", "latentsync": {"seed": 1}}}
    seeded = world.generate_key()
    assert len({before, stronger, seeded}) == 3


def test_render_follows_the_content_of_the_faces_not_how_they_were_made(world: World) -> None:
    before = world.render_key()
    assert world.render_key(seconds=99.0) == before
    assert world.render_key(faces=b"other faces") != before


def test_the_plan_that_travels_to_every_task_stays_small(world: World) -> None:
    plan = world.plan()
    before = len(pickle.dumps(plan))
    assert plan.segments == (SEGMENT.model_copy(update={"index": 0}),)
    assert len(plan.window_grid) == 10
    assert len(pickle.dumps(plan)) == before


def test_an_engine_that_aligns_faces_another_way_has_another_track(world: World, monkeypatch) -> None:
    monkeypatch.setattr(ENGINES, "_specs", dict(ENGINES._specs))
    ENGINES.register(replace(WARP, name="alike"))
    ENGINES.register(replace(WARP, name="larger", alignment=Alignment(((10, 15), (65, 15), (37.5, 42)))))
    chunks, keys = [world.file("chunk")], {}
    for name in ("warp", "alike", "larger"):
        world.settings["engine"] = {"name": name}
        keys[name] = track.key_of({"job": world.job(), "chunks": chunks})
    assert keys["warp"] == keys["alike"] != keys["larger"]
