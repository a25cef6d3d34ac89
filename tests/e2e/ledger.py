"""What the records in a workspace say is done."""

import json
from pathlib import Path
from typing import Any

from tasks.progress import read_progress


def records(work_dir: Path) -> list[dict[str, Any]]:
    """Each record: kind, value, and took with the task that made it."""
    found = (work_dir / "results").glob("*-*")
    return [json.loads(json.loads(path.read_text())["result"]) for path in found]


def made_by(work_dir: Path, run: object) -> dict[str, dict[str, Any]]:
    """Task -> what it took, of all that a run has made."""
    return {one["took"]["task"]: one["took"] for one in records(work_dir) if one["took"]["run"] == str(run)}


def running(work_dir: Path) -> dict[str, int]:
    """Task -> frames done, of all that run now, or were killed."""
    folders = (work_dir / "runs").glob("*")
    return {name: task.frames for folder in folders for name, task in read_progress(folder).items()}
