"""What an engine says of itself reaches settings, registry and keys; an engine of another package too."""

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field, ValidationError

from latentsync.engines.registry import (
    check_engine,
    engine_identity,
    load_engine,
    resolution_px,
    uses_gpu,
    voice_identity,
    voice_rows,
)
from latentsync.engines.settings import ENGINES, EngineSettings
from latentsync.engines.spec import EngineSpec
from latentsync.engines.warp.spec import WarpSettings
from latentsync.errors import WeightsError
from latentsync.group import Group


class StampSettings(Group):
    """Paints a level."""

    level: int = Field(default=7, ge=0, le=255, description="Grey level")
    threads: int = Field(default=1, description="Threads")


class Stamp:
    resolution_px, windows_per_batch = 64, 1

    def __init__(self, settings: StampSettings) -> None:
        self.settings = settings

    def preload(self) -> None: ...

    def extract_voice(self, audio: Path, fps: Fraction, frames: int, out: Path) -> None:
        np.save(out, np.zeros((frames, 1)))

    def session(self, voice, fps, clip):
        return self

    def generate(self, batch):
        return [np.full_like(window.faces, self.settings.level) for window in batch]


STAMP = EngineSpec(
    name="stamp",
    settings=StampSettings,
    resolution_px=lambda _: 64,
    rows_heard=lambda frame, fps: range(2 * frame, 2 * frame + 3),
    load=lambda settings, gpu: Stamp(settings),
    where_or_how_fast=frozenset({"threads"}),
    after_voice=frozenset({"level"}),
)


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.setattr(ENGINES, "_specs", dict(ENGINES._specs))


@pytest.fixture
def stamp():
    ENGINES.register(STAMP)
    return lambda **options: EngineSettings(name="stamp", options=options)


def test_an_engine_of_another_package_is_loaded_with_its_own_settings(stamp):
    settings = EngineSettings.model_validate_json(stamp(level=9).model_dump_json())
    check_engine(settings, here=True)
    assert load_engine(settings).settings == StampSettings(level=9)
    assert load_engine(settings) is load_engine(settings)
    assert resolution_px(settings) == 64
    assert not uses_gpu(settings)
    assert "stamp" in EngineSettings.model_json_schema()["properties"]["name"]["enum"]


def test_bad_options_of_another_package_are_refused_with_their_bounds(stamp):
    with pytest.raises(ValidationError, match="less than or equal to 255"):
        stamp(level=256)
    with pytest.raises(ValidationError, match="not permitted"):
        stamp(colour=1)
    with pytest.raises(ValidationError, match=r"belong into engine\.warp"):
        EngineSettings(name="warp", options={"strength": 2})


def test_an_unknown_engine_is_refused_with_the_known_ones():
    with pytest.raises(ValidationError, match=r"'magic' is unknown; known are latentsync, .*, warp"):
        EngineSettings(name="magic")


def test_an_installed_package_s_engine_is_found_by_its_entry_point(tmp_path, monkeypatch):
    (tmp_path / "plugin_engine.py").write_text(
        "from dataclasses import replace\n"
        "from latentsync.engines.warp.spec import WARP\n"
        "SPEC = replace(WARP, name='plugged')\n"
    )
    info = tmp_path / "plugin_engine-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-engine\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[lipsync.engines]\nplugged = plugin_engine:SPEC\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "plugin_engine", raising=False)
    monkeypatch.delitem(vars(ENGINES), "_installed", raising=False)
    settings = EngineSettings(name="plugged", options={"strength": 0.5})
    assert settings.own == WarpSettings(strength=0.5)
    assert "plugged" in ENGINES.names()
    del vars(ENGINES)["_installed"]


def test_what_changes_faces_is_in_the_key_and_what_does_not_is_not(stamp):
    assert engine_identity(stamp(level=1)) != engine_identity(stamp(level=2))
    assert engine_identity(stamp(threads=1)) == engine_identity(stamp(threads=2))
    assert voice_identity(stamp(level=1)) == voice_identity(stamp(level=2))


@pytest.mark.parametrize("name", ["warp", "latentsync", "latentsync-1.5", "latentsync-1.6"])
def test_every_setting_is_in_the_key_but_those_listed(name):
    spec = ENGINES.find(name)
    identity = engine_identity(EngineSettings(name=name))
    assert spec.where_or_how_fast | spec.after_voice <= set(spec.settings.model_fields)
    counted, libraries = identity["settings"], identity["libraries"]
    assert isinstance(counted, dict)
    assert isinstance(libraries, dict)
    assert set(counted) == set(spec.settings.model_fields) - spec.where_or_how_fast
    assert all(libraries.values()), "a library that computes faces is installed under another name"


def test_weights_count_by_their_content(tmp_path):
    def identity(content: str, folder: str) -> dict:
        weights = tmp_path / folder
        (weights / "vae").mkdir(parents=True)
        (weights / "vae" / "file").write_text(content)
        return engine_identity(
            EngineSettings.model_validate({"name": "latentsync", "latentsync": {"weights": weights}})
        )

    assert identity("a", "here") == identity("a", "there")
    assert identity("b", "changed") != identity("a", "again")


def test_a_missing_folder_of_weights_is_told(tmp_path):
    with pytest.raises(WeightsError, match="--weights DIR"):
        check_engine(EngineSettings(name="latentsync"), here=False)


def test_windows_hear_the_rows_that_the_engine_says(stamp, tmp_path):
    np.save(tmp_path / "voice.npy", np.arange(100, dtype=np.uint8))
    windows = np.array([[10, 26], [26, 30]], np.int32)
    heard = voice_rows(stamp(), tmp_path / "voice.npy", Fraction(25), windows)
    assert list(heard) == list(range(20, 61))
    assert voice_rows(stamp(), tmp_path / "voice.npy", Fraction(25), windows[:0]) == b""
