"""A batch whose process dies runs again by itself, as one: only what was lost is made."""

import csv
import json
from pathlib import Path
from uuid import UUID

from tasks.progress import read_progress
from tests.e2e.installation import Installation
from tests.e2e.ledger import made_by
from tests.e2e.media import decoded_digest
from tests.e2e.services import flow_process, kill, wait_until

HEALED_SECONDS = 180
PAIRS = {"a.mp4": 18, "b.mp4": 24, "c.mp4": 30}  # by crf, so that each is rendered and differs


def killed_batch(site: Installation) -> str:
    """kill -9 of a batch in its second pair"""
    outbox, settings = site.folder / "outbox", site.settings({"runner": "threads", "workers": 1})
    jobs = _manifest(site)
    run = site.runs.create("lipsync-batch/lipsync-batch", jobs=str(jobs), output_folder=str(outbox), settings=settings)
    wait_until(lambda: _pairs_begun(site, run) == 2 and _is_rendering(site, run), "the second is made", every=0.05)
    lost = site.runs.children(run)[1]
    kill(flow_process(run))
    before = made_by(site.work, lost)
    wait_until(lambda: site.runs.state(run).is_completed(), f"batch {run} heals", HEALED_SECONDS, every=0.5)
    assert _outcomes(outbox) == {"a.mp4": "skipped", "b.mp4": "made", "c.mp4": "made"}
    assert made_by(site.work, lost).items() >= before.items(), "made twice"
    assert len({decoded_digest(outbox / pair) for pair in PAIRS}) == len(PAIRS), "a pair has another one's output"
    children = [site.runs.read(child) for child in site.runs.children(run)]
    ends = [(Path(child.parameters["output"]).name, child.state_name) for child in children]
    assert ends == [("a.mp4", "Completed"), ("b.mp4", "Crashed"), ("b.mp4", "Completed"), ("c.mp4", "Completed")]
    return f"{site.runs.state(run).message}; {len(before)} tasks of the second pair were done, and kept"


def _manifest(site: Installation) -> Path:
    pair = {"video": str(site.clip.video), "audio": str(site.clip.voice)}
    rows = [{**pair, "output": output, "settings": {"encode": {"crf": crf}}} for output, crf in PAIRS.items()]
    path = site.folder / "night.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def _pairs_begun(site: Installation, run: UUID) -> int:
    return len(site.runs.children(run))


def _is_rendering(site: Installation, run: UUID) -> bool:
    """Whether the newest pair has rendered a segment, and renders another."""
    newest = site.runs.children(run)[-1]
    done = [task for task in made_by(site.work, newest) if task.startswith("render")]
    return bool(done) and any(task.startswith("render") for task in read_progress(site.work / "runs" / str(newest)))


def _outcomes(outbox: Path) -> dict[str, str]:
    with open(outbox / "outcomes.csv") as table:
        return {Path(row["output"]).name: row["state"] for row in csv.DictReader(table)}
