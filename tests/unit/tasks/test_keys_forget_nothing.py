"""Every setting is in the key of some stage, or on the list of those that change no result.

A new setting that is in neither fails here: put it into a key, or say in ``WITHOUT_EFFECT`` why it needs none.
"""

import wave
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel

from latentsync.faces.track import TRACK_DTYPE
from latentsync.job import Plan
from latentsync.media.timeline import plan_timeline
from latentsync.records import Artefact, Chunk, Segment
from latentsync.segments.part import part_of
from latentsync.segments.plan import write_segments
from latentsync.settings import ScoreSettings, Settings
from tasks import finish, prepare, segments
from tasks.stages import Stage
from tests.unit.tasks.test_keys import World

SEGMENT = Segment(index=0, start=0, end=96, clip_end=112)
# Where and how fast (as all of ``run``), and what is refused before any work.
WITHOUT_EFFECT = {
    "mark.required",
    "timing.min_complete_percent",
    "mark.key",  # that of the certificate, which is in the key
    "engine.latentsync.device",
    "engine.latentsync.compile",
    "engine.latentsync.gpu_high_watermark_gib",
    "engine.latentsync.gpu_low_watermark_gib",
    *(f"score.{name}" for name in ScoreSettings.model_fields),  # they judge afterwards; syncnet: see the last test
}
OTHER = {
    "engine.name": "latentsync-1.5",
    "engine.latentsync.weights": "weights",
    "timing.fps": "30",
    "timing.part_from": "3",
    "timing.part_to": "3",
    "faces.choice": "center",
    "faces.detector": "insightface",
    "mark.aigc_producer": "us",
    "mark.label": "Made with AI",
    "mark.timestamp_url": "https://tsa.example",
    "mark.certificate": "certificate.pem",
    "score.max_lip_leak": 0.5,
    "score.min_face_share": 0.5,
    "score.syncnet": "syncnet_v2.model",
}


def leaves(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{path}{name}.")
        else:
            yield f"{path}{name}", field


def other_value(path: str, field: Any) -> Any:
    """A valid value that is not the default."""
    if path in OTHER:
        return OTHER[path]
    kinds = get_args(field.annotation) if get_origin(field.annotation) is UnionType else (field.annotation,)
    (kind,) = [kind for kind in kinds if kind is not NoneType]
    if get_origin(kind) is Literal:
        return next(value for value in get_args(kind) if value != field.default)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(value for value in kind if value != field.default)
    if kind is bool:
        return not field.default
    if kind in (int, float):
        return _other_number(field)
    assert kind is Path, f"{path}: give another value in OTHER"
    return "weights"


def _other_number(field: Any) -> float:
    low: list[Any] = [
        bound.ge if isinstance(bound, Ge) else bound.gt for bound in field.metadata if isinstance(bound, Ge | Gt)
    ]
    high: list[Any] = [bound.le for bound in field.metadata if isinstance(bound, Le)]
    base = field.default if field.default is not None else (low or [1])[0]
    return base + 1 if not high or base + 1 <= high[0] else base - 1


def given_by(world: World) -> dict[str, Any]:
    """What stages get in a job with the world's settings; earlier results are always the same."""
    job = world.job()
    timing = job.settings.timing
    video = job.video.model_copy(update={"fps": timing.rate or job.video.fps})
    timeline = plan_timeline(video, job.audio, timing.if_audio_longer, timing.if_video_longer)
    job = job.model_copy(update={"timeline": timeline, "video": video, "part": part_of(timing, timeline)})
    file = world.file("earlier", b"earlier")
    cuts = world.folder / "cuts.npy"
    write_segments([SEGMENT], cuts)
    windows = np.array([(start, start + 16) for start in range(0, 160, 16)], np.int32)
    plan = Plan(
        track=world.array("track.npy", np.zeros(160, TRACK_DTYPE)), windows=world.array("windows.npy", windows),
        opacity=world.array("opacity.npy", world.opacity), mouth=file,
        mouth_start=0, made=(0, 1), joined=(0, 1), compared=file,
        loudness=world.array("loudness.npy", np.zeros(160, np.float32)),
        cuts=world.file("cuts.npy", cuts.read_bytes()), frames_with_face=160,
    )  # fmt: skip
    return {
        "job": job, "plan": plan, "voice": world.array("voice.npy", world.voice_rows), "segment": SEGMENT,
        "chunk": Chunk(index=0, start=0, end=160), "chunks": [file], "track": plan.track, "faces": file,
        "before": None, "earlier": None, "renders": [file], "rendered": file, "sound": None,
    }  # fmt: skip


def keys(world: World) -> dict[str, str]:
    """Key of every kept stage."""
    given = given_by(world)
    known = [stage for module in (prepare, segments, finish) for stage in vars(module).values()]
    stages = [stage for stage in known if isinstance(stage, Stage)]  # other tests have stages of the same names
    kept = [stage for stage in stages if stage.is_kept and set(stage.signature.parameters) <= set(given)]
    return {stage.name: stage.key_of({name: given[name] for name in stage.signature.parameters}) for stage in kept}


def nested(path: str, value: Any) -> dict:
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def merged(first: dict, second: dict) -> dict:
    both = {name: merged(first[name], second[name]) for name in first.keys() & second.keys()}
    return {**first, **second, **both} if both else {**first, **second}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "unet").write_text("weights")
    (tmp_path / "certificate.pem").write_text("certificate")
    return World(tmp_path)


def changing() -> list[Any]:
    """Settings of the work; engines from other packages have specs of their own, tried in tests/unit/engines."""
    found = [leaf for leaf in leaves(Settings) if not leaf[0].startswith(("run.", "engine.options"))]
    return [pytest.param(*leaf, id=leaf[0]) for leaf in found]


@pytest.mark.parametrize(("path", "field"), changing())
def test_a_setting_is_in_a_key_or_said_to_change_nothing(world: World, path: str, field: Any) -> None:
    engine = {"engine": {"name": "latentsync-1.6"}} if path.startswith("engine.latentsync") else {}
    cut = {"segments": {"segment_seconds": 2}} if path.startswith("timing.part") else {}
    world.settings = engine | cut
    world.voice_samples = 64_000 if "video_longer" in path else 204_800  # 100 or 320 frames, of 160
    before = keys(world)
    world.settings = merged(world.settings, nested(path, other_value(path, field)))
    assert (keys(world) == before) == (path in WITHOUT_EFFECT)


def test_the_score_depends_on_the_weights_of_syncnet_and_on_what_they_hear(world: World) -> None:
    def key(weights: bytes, *, ending: bytes = b"", sample: bytes = b"\1") -> str:
        path = world.folder / "sound.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(2 * 16_000 * sample + bytes(3 * 32_000) + ending)
        given = given_by(world)
        job = given["job"].model_copy(update={"syncnet": world.file("syncnet_v2.model", weights)})
        asked = {**given, "job": job, "sound": Artefact.of(path)}
        return segments.score.key_of({name: asked[name] for name in segments.score.signature.parameters})

    without = keys(world)["score"]
    assert len({without, key(b"one"), key(b"other"), key(b"one", sample=b"\2")}) == 4
    assert key(b"one") == key(b"one", ending=b"more")  # after the segment
