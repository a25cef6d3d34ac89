"""Two jobs with one output: the second waits for one that is ending, else it is refused and told by whom."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from latentsync.errors import InputError
from latentsync.publishing.sole_writer import sole_writer
from latentsync.storage.workspace import Workspace

HOLD = """
import sys
from latentsync.publishing.sole_writer import sole_writer
from latentsync.storage.workspace import Workspace
workspace = Workspace.at(sys.argv[2])
workspace.open()
with sole_writer(sys.argv[1], workspace, "brave-fox"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace.at(str(tmp_path / "work"))
    workspace.open()
    return workspace


def holder(output: Path, work: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(output), str(work)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_refused_by_any_name_of_the_output_and_told_by_whom(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with holder(tmp_path / "out.mp4", tmp_path / "other workspace") as first:
        with (
            pytest.raises(InputError, match=rf"out\.mp4 is being made by another job \(run brave-fox, .*{first.pid}"),
            sole_writer(f"{tmp_path}/link/out.mp4", workspace, "second", patience_seconds=0),
        ):
            pass
        with sole_writer(f"{tmp_path}/another.mp4", workspace, "second", patience_seconds=0):
            first.communicate("\n")
    with sole_writer(f"{tmp_path}/out.mp4", workspace, "second", patience_seconds=0):
        pass


def test_the_second_waits_for_one_that_is_ending(tmp_path: Path, workspace: Workspace, caplog) -> None:
    with holder(tmp_path / "out.mp4", workspace.root) as first:
        assert first.stdin
        first.stdin.write("\n")
        first.stdin.flush()
        with sole_writer(f"{tmp_path}/out.mp4", workspace, "second"):
            pass
        assert first.wait(30) == 0


def test_a_killed_job_holds_nothing_and_no_lock_is_left(tmp_path: Path, workspace: Workspace) -> None:
    with holder(tmp_path / "out.mp4", workspace.root) as first:
        first.send_signal(signal.SIGKILL)
        first.wait(30)
        with sole_writer(f"{tmp_path}/out.mp4", workspace, "second", patience_seconds=0):
            assert list((workspace.root / "locks").iterdir())
    assert not list((workspace.root / "locks").iterdir())


def test_hosts_that_share_a_workspace_meet(tmp_path: Path, workspace: Workspace, monkeypatch) -> None:
    with holder(tmp_path / "out.mp4", workspace.root) as first:
        (tmp_path / "tmp of another host").mkdir(mode=0o700)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp of another host"))
        with (
            pytest.raises(InputError, match="brave-fox"),
            sole_writer(f"{tmp_path}/out.mp4", workspace, "second", patience_seconds=0),
        ):
            pass
        first.communicate("\n")
