"""A machine that joins later finds what others have made in a remote workspace, and brings only what it needs."""

import shutil
from pathlib import Path

import pytest

from flows.lipsync import lipsync
from latentsync.settings import Settings
from latentsync.storage.workspace import Workspace
from tests.conftest import Clip

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


def test_a_job_that_is_done_is_found_without_its_clips(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    location = f"memory://{tmp_path}/bucket"
    groups = {"engine": {"name": "warp"}, "segments": {"segment_seconds": 1}, "run": {"work_dir": location}}
    settings, staging = Settings.model_validate(groups), Workspace.at(location).root

    first = lipsync(str(clip.video), str(clip.voice), str(tmp_path / "first.mp4"), settings)
    shutil.rmtree(staging)  # another machine has none of it
    second = lipsync(str(clip.video), str(clip.voice), str(tmp_path / "second.mp4"), settings)

    assert (tmp_path / "first.mp4").read_bytes() == (tmp_path / "second.mp4").read_bytes()
    kept = ("voice", "faces", "track", "plan", "render", "score", "join")
    assert [second.stages[name].cached for name in kept] == [first.stages[name].tasks for name in kept]
    here = {path.parent.name for path in staging.rglob("*") if path.is_file()}
    assert {"plan", "join"} <= here
    assert not here & {"faces", "render"}
