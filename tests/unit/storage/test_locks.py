"""Locks in a folder that strangers can write to: nothing planted there is followed, changed or waited for."""

import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from latentsync.engines.gpu_queue import gpu_place
from latentsync.errors import InputError
from latentsync.storage import locks

HOLD_AS_NOBODY = """
import os, sys
from pathlib import Path
from latentsync.storage import locks
path = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setuid(65534)
print("free" if locks.try_hold(path, locks.SHARED) else "taken")
"""


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "id_ed25519"
    path.write_text("secret")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("plant", [os.symlink, os.link])
def test_a_planted_link_is_refused_and_its_target_stays_as_it_is(plant, secret: Path, tmp_path: Path) -> None:
    lock = tmp_path / "lipsync-gpu-a-0.lock"
    plant(secret, lock)
    refused = pytest.raises(InputError, match=r"gpu-a-0\.lock is not a plain file of its own.*owner: user")
    with refused, gpu_place(["gpu-a"], 1, lambda: None, tmp_path):
        pytest.fail("the GPU was given")
    assert (secret.read_text(), oct(secret.stat().st_mode & 0o777)) == ("secret", "0o600")


def test_a_link_to_nowhere_makes_no_file_there(tmp_path: Path) -> None:
    (tmp_path / "x.lock").symlink_to(tmp_path / "made-by-the-victim")
    with pytest.raises(InputError, match="is not a plain file"):
        locks.try_hold(tmp_path / "x.lock")
    assert not (tmp_path / "made-by-the-victim").exists()


def test_a_planted_fifo_or_folder_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.lock")
    (tmp_path / "folder.lock").mkdir()
    for name in ("fifo.lock", "folder.lock"):
        with pytest.raises(InputError, match="is not a plain file"):
            locks.try_hold(tmp_path / name)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_users_of_a_host_share_a_queue(umask: int, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="locks-") as folder:  # tmp_path is closed to other users
        path = Path(folder, "gpu.lock")
        os.chmod(folder, 0o1777)
        before = os.umask(umask)
        try:
            with locks.hold(path, mode=locks.SHARED):
                path.chmod(path.stat().st_mode & ~0o222)  # readable only, as another user's file is
                assert _as_nobody(path) == "taken"
            assert _as_nobody(path) == "free"
        finally:
            os.umask(before)


def _as_nobody(path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", HOLD_AS_NOBODY, path], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_folder_of_locks_that_strangers_could_replace_is_not_used(tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tmp_path.chmod(0o777)  # not sticky
    with caplog.at_level(logging.WARNING):
        own = locks.host_folder()
    assert own == tmp_path / "cache" / "lipsync" / "locks"
    assert own.stat().st_mode & 0o777 == 0o700
    assert "is no safe place for locks" in caplog.text
    tmp_path.chmod(0o1777)
    assert locks.host_folder() == tmp_path


def test_a_lock_that_a_sweep_removed_is_not_held_by_two(tmp_path: Path) -> None:
    path, waits, held = tmp_path / "x.lock", threading.Event(), []

    def second() -> None:
        with locks.hold(path, on_wait=waits.set):
            held.append(path.exists())

    with locks.hold(path):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10)
        path.unlink()
    thread.join(10)
    assert held == [True]  # of the file that is there now


def test_a_held_lock_is_not_discarded(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with locks.hold(path):
        assert locks.is_held(path)
        assert not locks.discard(path)
    assert not locks.is_held(path)
    assert locks.discard(path)
    assert not path.exists()
