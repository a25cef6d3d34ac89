"""What the attempts of a run leave for the next one."""

import json
import time
from dataclasses import asdict
from pathlib import Path

from tasks.steps import Step, begin_attempt, raise_if_stopped, read_steps, stop


def leave(folder: Path, name: str, ended: bool = True, failed: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    step = Step(name, "here", 1, began=now, ended=now if ended else None, failed=failed)
    (folder / name).write_text(json.dumps(asdict(step)))


def test_every_attempt_knows_what_all_earlier_ones_have_done(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert begin_attempt(folder) == set()
    leave(folder, "generate-000")
    leave(folder, "generate-001", failed=True)
    leave(folder, "generate-002", ended=False)
    assert begin_attempt(folder) == {"generate-000"}
    leave(folder, "generate-001")
    assert begin_attempt(folder) == {"generate-000", "generate-001"}
    assert read_steps(folder) == {}


def test_an_order_to_stop_does_not_reach_the_next_attempt(tmp_path: Path) -> None:
    leave(tmp_path, "generate-000")
    stop(tmp_path)
    begin_attempt(tmp_path)
    raise_if_stopped(tmp_path)
