"""Publishing when the power fails at any write, and when the disk becomes full."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from latentsync.publishing.writer import publish
from latentsync.storage import atomic
from latentsync.storage.throttle import MIB, DiskProfile
from tests.unit.publishing.power_cut import Disk, cuts

DISK = DiskProfile(write_mb_per_second=1e6, writes_per_second=1e9, chunk_mib=1, dirty_mib_max=1)
OLD, NEW = b"the old file", os.urandom(4 * MIB + 123)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "joined.mp4"
    path.write_bytes(NEW)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def left_by_cuts(source: Path, folder: Path) -> tuple[int, set[bytes | None], Disk]:
    """How often the power was cut, all that was found then, and the disk at the end."""
    found: list[set[bytes | None]] = []
    disk = cuts(
        folder, lambda: publish(source, folder / "out.mp4", DISK), lambda now: found.append({*now.left("out.mp4")})
    )
    return len(found), set().union(*found), disk


@pytest.mark.parametrize("old", [OLD, None])
def test_a_power_cut_at_any_write_leaves_the_old_file_or_the_new(source: Path, folder: Path, old: bytes | None) -> None:
    if old:
        (folder / "out.mp4").write_bytes(old)
    count, found, disk = left_by_cuts(source, folder)
    assert count >= 1 + 5 + 1 + 1 + 1  # made, five chunks, fsync, rename, fsync of the folder
    assert found == {old, NEW}
    assert {*disk.left("out.mp4")} == {NEW}  # publish has returned: nothing can be lost any more


def test_a_writer_that_did_not_wait_for_the_disk_would_be_caught(source: Path, folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(atomic, "_fsync", lambda path: None)
    (folder / "out.mp4").write_bytes(OLD)
    _, found, disk = left_by_cuts(source, folder)
    assert bytes(len(NEW)) in found
    assert OLD in {*disk.left("out.mp4")}


FILL_UP = """
import os, sys
from pathlib import Path
from latentsync.errors import TransientError
from latentsync.publishing.writer import publish
from latentsync.storage.throttle import MIB, DiskProfile

source, folder = Path(sys.argv[1]), Path(sys.argv[2])
(folder / "out.mp4").write_bytes(b"the old file")

def fill_up(_seconds):
    with open(folder / "other", "ab", buffering=0) as other:
        try:
            while other.write(bytes(65536)):
                pass
        except OSError:
            pass

disk = DiskProfile(write_mb_per_second=1, writes_per_second=1e9, chunk_mib=1, dirty_mib_max=1)
try:
    publish(source, folder / "out.mp4", disk, clock=lambda: 0.0, sleep=fill_up)
except TransientError as error:
    print(error)
print((folder / "out.mp4").read_bytes())
print(sorted(path.name for path in folder.iterdir()))
"""


def test_a_small_disk_that_becomes_full_keeps_the_old_file(source: Path, folder: Path) -> None:
    """On a real file system of 8 MiB, in a mount namespace of its own."""
    script = 'mount -t tmpfs -o size=8m tmpfs "$1" && shift && exec "$@"'
    command = [sys.executable, "-c", FILL_UP, source, folder]
    namespace = ["unshare", "--user", "--map-root-user", "--mount"] if os.geteuid() else ["unshare", "--mount"]
    done = subprocess.run([*namespace, "sh", "-c", script, "sh", folder, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    error, content, names = done.stdout.splitlines()
    assert error == f"{folder}/out.mp4: the disk is full; free some space, then run again"
    assert content == "b'the old file'"
    assert names == "['other', 'out.mp4']"
