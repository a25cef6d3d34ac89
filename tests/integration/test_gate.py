"""What is made of a bad voice is told from what is good, made again with another seed, or refused."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from flows.lipsync import lipsync
from latentsync.engines.settings import ENGINES
from latentsync.engines.warp.engine import WarpEngine
from latentsync.engines.warp.spec import WARP, WarpSettings
from latentsync.errors import BelowGate
from latentsync.publishing.report import SegmentReport
from latentsync.segments.syncnet import stretch
from latentsync.segments.syncnet.network import SyncNet
from latentsync.settings import Settings
from tests.conftest import Clip

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

UNLUCKY, LUCKY = 7, 8
BLOCK_FRAMES = 5  # a syllable


class DiceSettings(WarpSettings):
    """The warp engine, whose first seed hears the voice shuffled in the first segment."""

    seed: int = UNLUCKY


class Dice(WarpEngine):
    """Warp with a seed that may be unlucky."""

    def session(self, voice: Path, fps: Fraction, clip):
        session = super().session(voice, fps, clip)
        if self.settings.seed == UNLUCKY:
            rows = np.array(session._voice)
            half = len(rows) // 2 // BLOCK_FRAMES * BLOCK_FRAMES
            blocks = rows[:half].reshape(-1, BLOCK_FRAMES, rows.shape[1])
            rows[:half] = blocks[np.random.default_rng(6).permutation(len(blocks))].reshape(half, -1)
            session._voice = rows
        return session


DICE = replace(
    WARP,
    name="dice",
    settings=DiceSettings,
    load=lambda own, _: Dice(own),
    after_voice=frozenset({"seed"}),
    direct=False,
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(ENGINES, "_specs", dict(ENGINES._specs))
    ENGINES.register(DICE)
    torch.manual_seed(4)
    torch.save(SyncNet().state_dict(), tmp_path / "syncnet_v2.model")
    monkeypatch.setattr(stretch, "SECONDS", 0.4)
    groups = {
        "engine": {"name": "dice"},
        "score": {"syncnet": str(tmp_path / "syncnet_v2.model"), "max_lse_d": 1e6, "min_lse_c": 0},
        "segments": {"segment_seconds": 4.6, "silence": "generate"},
        "run": {"work_dir": str(tmp_path / "work"), "retries": 0},
    }
    return Settings.model_validate(groups)


def gated(settings: Settings, gate: str) -> Settings:
    return settings.model_copy(update={"score": settings.score.model_copy(update={"gate": gate})})


def run(demo_clip: Clip, settings: Settings, out: Path) -> list[SegmentReport]:
    return lipsync(str(demo_clip.video), str(demo_clip.voice), str(out), settings).segments


def test_shuffled_audio_is_below_the_gate_and_another_seed_takes_its_place(
    demo_clip: Clip, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    warned = run(demo_clip, settings, tmp_path / "warned.mp4")
    bad, good = (segment.verdict for segment in warned)
    assert bad
    assert good
    assert any("correlation" in what or "offset" in what for what in bad.below)
    assert good.below == ()
    assert bad.generated_again == 0
    assert bad.score.lse_d
    assert good.score.lse_c is not None

    again = run(demo_clip, gated(settings, "retry"), tmp_path / "retried.mp4")
    mended, same = (segment.verdict for segment in again)
    assert mended
    assert (mended.below, mended.generated_again, mended.seed) == ((), 1, LUCKY)
    assert same == good
    assert {"generate", "render", "score"} == set(again[0].tasks)
    assert "generated again once, kept that of seed 8" in caplog.text
    assert (tmp_path / "retried.mp4").read_bytes() != (tmp_path / "warned.mp4").read_bytes()

    lucky = settings.model_copy(update={"engine": settings.engine.reseeded(LUCKY - UNLUCKY)})
    run(demo_clip, lucky, tmp_path / "lucky.mp4")
    assert (tmp_path / "retried.mp4").read_bytes() == (tmp_path / "lucky.mp4").read_bytes()  # its neighbour blends too

    with pytest.raises(BelowGate, match="segment 0: "):
        run(demo_clip, gated(settings, "fail"), tmp_path / "failed.mp4")
    assert not (tmp_path / "failed.mp4").exists()

    unseen = run(demo_clip, gated(settings, "off"), tmp_path / "off.mp4")
    assert [segment.verdict for segment in unseen] == [None, None]
    assert "score" not in unseen[0].tasks
