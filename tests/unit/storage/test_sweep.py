"""Sweeping deletes what is old, and never what somebody might be using."""

import fcntl
import json
import os
from pathlib import Path

import pytest

from latentsync.errors import InputError
from latentsync.storage import locks
from latentsync.storage.atomic import whole_file
from latentsync.storage.sweep import DAY_SECONDS, GIB, SweepLimits, Swept, sweep_workspace
from latentsync.storage.workspace import Workspace

NOW = 1_700_000_000.0
SOURCE = "0123456789abcdef"
RUN = "6a0ad9b6-9a76-477f-bc23-283d335c2a97"


def put(path: Path, days: float, size: int = 1000, read_days: float | None = None) -> Path:
    """A file last written (and read) so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - (days if read_days is None else read_days) * DAY_SECONDS, NOW - days * DAY_SECONDS))
    return path


def sweep(root: Path, dry_run: bool = False, **limits: float) -> Swept:
    return sweep_workspace(root, SweepLimits(**limits), dry_run, now=NOW)


def run_of(root: Path, began_days: float, last_days: float, run_id: str = RUN) -> Path:
    """The folder of a run with one step."""
    step = put(root / "runs" / run_id / "generate-000", last_days)
    step.write_text(json.dumps({"name": "generate-000", "began": NOW - began_days * DAY_SECONDS}))
    os.utime(step, (NOW, NOW - last_days * DAY_SECONDS))
    os.utime(step.parent, (NOW, NOW - began_days * DAY_SECONDS))
    return step.parent


def test_what_was_not_used_for_long_goes_and_the_rest_stays(tmp_path: Path) -> None:
    old = put(tmp_path / SOURCE / "generate" / "old.mkv", days=40)
    made_long_ago_but_read = put(tmp_path / SOURCE / "generate" / "hit.mkv", days=40, read_days=3)
    young = put(tmp_path / SOURCE / "render" / "young.mp4", days=10)
    swept = sweep(tmp_path, older_than_days=30)
    assert not old.exists()
    assert made_long_ago_but_read.exists()
    assert young.exists()
    assert (swept.artefacts, swept.freed_bytes, swept.kept_bytes) == (1, 1000, 2000)


def test_beyond_the_size_the_longest_unused_goes_first(tmp_path: Path) -> None:
    files = [put(tmp_path / SOURCE / "render" / f"{days}.mp4", days) for days in (9, 7, 5, 3)]
    sweep(tmp_path, max_gib=2000 / GIB)
    assert [file.exists() for file in files] == [False, False, True, True]


def test_every_kind_of_finished_file_is_known(tmp_path: Path) -> None:
    key = "0" * 64
    names = [
        f"{SOURCE}/voice/voice-{key}.npy", f"results/find-faces-{key}", "conformed/lossless-0123456789abcdef.mkv",
        f"finished/{key}.json", f"inputs/{SOURCE}/a b.mp4", f"conformed/remuxed-flac-{SOURCE}.mkv",
    ]  # fmt: skip
    files = [put(tmp_path / name, days=40) for name in names]
    assert sweep(tmp_path).artefacts == len(names)
    assert not any(file.exists() for file in files)


def test_files_that_are_not_ours_are_never_touched(tmp_path: Path) -> None:
    names = ["holiday.mp4", "inputs/original.mp4", "inputs/films/original.mp4", "results/table.csv", "runs/notes/x"]
    others = [put(tmp_path / name, days=4000) for name in names]
    sweep(tmp_path, older_than_days=0, max_gib=0)
    assert all(other.exists() for other in others)


def test_the_grace_period_is_stronger_than_age_and_size(tmp_path: Path) -> None:
    young = put(tmp_path / SOURCE / "render" / "young.mp4", days=1.9)
    assert sweep(tmp_path, older_than_days=0, max_gib=0, grace_hours=24).artefacts == 0
    assert young.exists()


def test_what_a_living_run_has_made_stays_however_long_it_takes(tmp_path: Path) -> None:
    put(tmp_path / SOURCE / "generate" / "before.mkv", days=8)
    made = put(tmp_path / SOURCE / "generate" / "made.mkv", days=5)
    run_of(tmp_path, began_days=6, last_days=0.01)
    assert sweep(tmp_path, older_than_days=0).artefacts == 1
    assert made.exists()


def test_a_dead_run_protects_nothing_and_its_folder_goes(tmp_path: Path) -> None:
    put(tmp_path / SOURCE / "generate" / "made.mkv", days=45)
    folder = run_of(tmp_path, began_days=46, last_days=45)
    living = run_of(tmp_path, began_days=1, last_days=0.1, run_id=RUN.replace("6", "7"))
    swept = sweep(tmp_path)
    assert (swept.artefacts, swept.run_folders) == (1, 1)
    assert not folder.exists()
    assert living.exists()


@pytest.mark.parametrize("age_days", [0.1, 2])
def test_what_killed_writers_left_goes_after_a_day(tmp_path: Path, age_days: float) -> None:
    path = Workspace.at(str(tmp_path)).path(SOURCE, "render", "x.mp4")
    with whole_file(path) as temporary:
        temporary.touch()
    names = [temporary.name, f"{temporary.name}.silent.mp4", ".report.json.0a1b2c3d.part"]
    left = [put(path.with_name(name), age_days) for name in names]
    assert sweep(tmp_path).temporary_files == (3 if age_days > 1 else 0)
    assert any(file.exists() for file in left) == (age_days < 1)


def test_a_held_lock_keeps_its_file_and_itself(tmp_path: Path) -> None:
    path = put(tmp_path / SOURCE / "render" / "x.mp4", days=40)
    lock, free = put(path.with_name(".x.mp4.lock"), days=40), put(path.with_name(".y.mp4.lock"), days=40)
    with open(lock) as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        swept = sweep(tmp_path)
    assert (swept.artefacts, swept.locks) == (0, 1)
    assert path.exists()
    assert lock.exists()
    assert not free.exists()


def test_a_dry_run_counts_and_deletes_nothing(tmp_path: Path) -> None:
    put(tmp_path / SOURCE / "render" / "x.mp4", days=40)
    put(tmp_path / SOURCE / "render" / ".x.mp4.lock", days=40)
    run_of(tmp_path, began_days=46, last_days=45)
    before = sorted(tmp_path.rglob("*"))
    told = sweep(tmp_path, dry_run=True)
    assert sorted(tmp_path.rglob("*")) == before
    done = sweep(tmp_path)
    assert told == done.model_copy(update={"empty_folders": 0})


def test_folders_that_have_long_been_empty_go(tmp_path: Path) -> None:
    folder = tmp_path / SOURCE / "render"
    folder.mkdir(parents=True)
    for path in (folder, folder.parent):
        os.utime(path, (NOW, NOW - 3 * DAY_SECONDS))
    assert sweep(tmp_path).empty_folders == 1  # its parent has just changed, so it goes next time
    assert not folder.exists()


def test_a_missing_workspace_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such workspace; set work_dir"):
        sweep(tmp_path / "nowhere")


def test_what_is_made_under_the_lock_of_its_key_stays(tmp_path: Path) -> None:
    key = f"generate-{'ab' * 32}"
    clip = put(tmp_path / SOURCE / "generate" / f"{key}.mkv", days=40)
    lock = put(tmp_path / "locks" / f"{key}.lock", days=40)
    with locks.hold(lock):
        sweep(tmp_path)
        assert clip.exists()
        assert lock.exists()
    sweep(tmp_path)
    assert not clip.exists()
    assert not lock.exists()
