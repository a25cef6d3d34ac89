"""Ctrl-C, `kill` and `kill -9` of the command: it says so in one line, and nothing of it lives on."""

import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import Clip
from tests.e2e.services import BIN, stop_tree, wait_until

pytestmark = pytest.mark.slow

END_SECONDS = 15


@dataclass
class Command:
    """A running `lipsync sync` with a temporary server of Prefect's, and what it prints."""

    process: psutil.Popen
    family: list[psutil.Process]  # it and all that it has started

    def end(self, number: int) -> tuple[int, str]:
        """(exit code, output) after the signal; the output ends when nobody holds it any more."""
        self.process.send_signal(number)
        printed, _ = self.process.communicate(timeout=END_SECONDS)
        return self.process.returncode, printed

    def alive(self) -> list[psutil.Process]:
        """What is left of it; a zombie is dead, and waits only for its parent to notice."""
        return [process for process in self.family if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def command(short_clip: Clip, tmp_path: Path) -> Iterator[Command]:
    """One that makes faces and renders."""
    work = tmp_path / "work"
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_PROFILE": "ephemeral"}
    environment.pop("PREFECT_API_URL", None)
    process = psutil.Popen(
        [BIN / "lipsync", "sync", short_clip.video, short_clip.voice, "-o", tmp_path / "out.mp4", "--work-dir", work,
         "--segment-seconds", "2", "--workers", "1"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=_hear_ctrl_c,
    )  # fmt: skip
    try:
        wait_until(lambda: list(work.glob("*/render/.*")) or process.poll() is not None, "a segment is being rendered")
        family = [process, *process.children(recursive=True)]
        assert any("uvicorn" in part for member in family for part in member.cmdline())
        yield Command(process, family)
    finally:
        stop_tree(process)


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else ignored, where the tests run in the background


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_command_says_so_and_leaves_nothing(number: signal.Signals, command: Command, tmp_path: Path) -> None:
    code, printed = command.end(number)
    assert code == 128 + number, printed
    assert printed.splitlines()[-1].startswith(f"stopped by {number.name}: what is done is kept")
    assert "Traceback" not in printed
    assert not re.search(r"Cancelled|Error", printed), printed
    wait_until(lambda: not command.alive(), "all that it had started is gone", END_SECONDS)
    assert not (tmp_path / "out.mp4").exists()
    assert (_kept(tmp_path, "flow_run"), _kept(tmp_path, "events")) == (1, 0)  # nobody could look at its events


def _kept(folder: Path, table: str) -> int:
    """Rows that the temporary server has left in its database."""
    with closing(sqlite3.connect(folder / "prefect" / "prefect.db")) as database:
        return database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]


def test_nothing_outlives_a_killed_command(command: Command) -> None:
    code, printed = command.end(signal.SIGKILL)
    assert code == -signal.SIGKILL
    wait_until(lambda: not command.alive(), "all that it had started is gone", END_SECONDS)
    assert "Traceback" not in printed
