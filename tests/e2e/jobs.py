"""Running the flow in a test, and what its report says."""

from pathlib import Path

from flows.lipsync import lipsync
from latentsync.publishing.report import Report
from latentsync.settings import Settings
from tests.conftest import Clip


def run(clip: Clip, work_dir: Path, output: Path, force: list[int] | None = None, **groups: dict) -> Report:
    """Run the flow here, with segments of two seconds and no retries; ``groups`` override settings."""
    values = {"segments": {"segment_seconds": 2}, **groups}
    values["run"] = {"work_dir": str(work_dir), "retries": 0, **values.get("run", {})}
    return lipsync(str(clip.video), str(clip.voice), str(output), Settings.model_validate(values), force)


def made(report: Report, stage: str) -> list[int]:
    """Segments that a stage really made in this run."""
    return [segment.index for segment in report.segments if not segment.tasks[stage].cached]
