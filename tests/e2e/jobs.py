"""Running the flow in a test, and what its report says."""

from dataclasses import replace
from pathlib import Path

from flows.lipsync import lipsync
from latentsync.engines.settings import ENGINES
from latentsync.engines.warp.spec import WARP
from latentsync.publishing.report import Report
from latentsync.settings import Settings
from tests.conftest import Clip

BY_CLIPS = replace(WARP, name="warp-by-clips", direct=False)  # as the engines that take a GPU: generate, then render
ENGINES.register(BY_CLIPS)


def run(clip: Clip, work_dir: Path, output: Path, force: list[int] | None = None, **groups: dict) -> Report:
    """Run the flow here, by face clips of two seconds and without retries; ``groups`` override settings."""
    values = {"engine": {"name": BY_CLIPS.name}, "segments": {"segment_seconds": 2}, **groups}
    values["run"] = {"work_dir": str(work_dir), "retries": 0, **values.get("run", {})}
    return lipsync(str(clip.video), str(clip.voice), str(output), Settings.model_validate(values), force)


def made(report: Report, stage: str) -> list[int]:
    """Segments that a stage really made in this run."""
    return [segment.index for segment in report.segments if not segment.tasks[stage].cached]
