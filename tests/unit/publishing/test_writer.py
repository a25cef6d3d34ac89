import fcntl
import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from latentsync.errors import InputError, InternalError, TransientError
from latentsync.publishing import writer
from latentsync.publishing.writer import check_destination, publish
from latentsync.storage import bounded_file
from latentsync.storage.throttle import MIB, DiskProfile

DISK = DiskProfile(write_mb_per_second=1e6, writes_per_second=1e9, chunk_mib=1, dirty_mib_max=2)
OLD = b"the old file"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "joined.mp4"
    path.parent.mkdir()
    path.write_bytes(os.urandom(5 * MIB + 12345))  # more than is ever dirty, and no whole number of chunks
    return path


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "final.mp4"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_untouched(destination: Path) -> None:
    assert destination.read_bytes() == OLD
    assert names(destination.parent) == [destination.name]


def test_the_destination_becomes_the_source(source, destination):
    result = publish(source, destination, DISK)
    assert destination.read_bytes() == source.read_bytes()
    assert result.size_bytes == source.stat().st_size
    assert result.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert result.destination == str(destination)
    assert names(destination.parent) == [destination.name]


def test_an_empty_file_and_a_missing_folder(tmp_path):
    (tmp_path / "empty").touch()
    publish(tmp_path / "empty", tmp_path / "a" / "b" / "out.mp4", DISK)
    assert (tmp_path / "a" / "b" / "out.mp4").read_bytes() == b""


def test_works_without_sync_file_range(source, destination, monkeypatch):
    monkeypatch.setattr(bounded_file, "_sync_file_range", None)
    publish(source, destination, DISK)
    assert destination.read_bytes() == source.read_bytes()


def test_a_link_stays_and_its_target_is_replaced(source, destination, tmp_path):
    link = tmp_path / "link.mp4"
    link.symlink_to(destination)
    publish(source, link, DISK)
    assert link.is_symlink()
    assert destination.read_bytes() == source.read_bytes()


def test_the_file_has_the_permissions_of_any_new_file(source, destination):
    publish(source, destination, DISK)
    plain = destination.with_name("plain")
    plain.touch()
    assert destination.stat().st_mode == plain.stat().st_mode


def test_a_long_path_is_told_whole(source, tmp_path):
    destination = tmp_path / ("a" * 200) / ("b" * 200) / "out.mp4"
    assert publish(source, destination, DISK).destination == str(destination)


def test_the_copy_is_paced(source, destination):
    slept = []
    disk = DISK.model_copy(update={"write_mb_per_second": 1.0})
    publish(source, destination, disk, clock=lambda: 0.0, sleep=slept.append)
    assert max(slept) == pytest.approx(source.stat().st_size / 1e6)  # the clock stands still: the debt adds up


def test_a_write_that_fails_midway_leaves_the_old_file(source, destination):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * MIB, hard))
    try:
        with pytest.raises(InputError, match=r"final\.mp4 cannot be written \(File too large\)"):
            publish(source, destination, DISK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_untouched(destination)


def test_a_disk_that_becomes_full_midway_can_be_tried_again(source, destination, monkeypatch):
    class FileOnFullDisk(bounded_file.BoundedFile):
        """After two chunks the descriptor is /dev/full, so that the kernel itself says ENOSPC."""

        def write(self, chunk: memoryview) -> None:
            if self._end == 2 * MIB:
                full = os.open("/dev/full", os.O_WRONLY)
                os.dup2(full, self._file)
                os.close(full)
            super().write(chunk)

    monkeypatch.setattr(writer, "BoundedFile", FileOnFullDisk)
    with pytest.raises(TransientError, match=r"final\.mp4: the disk is full"):
        publish(source, destination, DISK)
    assert_untouched(destination)


def test_a_source_that_changes_on_the_way_is_not_published(source, destination):
    def spoil(_seconds: float) -> None:
        with source.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\0" if source.read_bytes()[-1] else b"\1")

    disk = DISK.model_copy(update={"write_mb_per_second": 1e3})
    with pytest.raises(InternalError, match="changed while it was published"):
        publish(source, destination, disk, clock=lambda: 0.0, sleep=spoil)
    assert_untouched(destination)


KILLED_MIDWAY = """
import os, signal, sys
from pathlib import Path
from latentsync.storage.throttle import DiskProfile
from latentsync.publishing.writer import publish

waits = []
def sleep(seconds):
    waits.append(seconds)
    if len(waits) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
disk = DiskProfile(write_mb_per_second=1, writes_per_second=1e9, chunk_mib=1, dirty_mib_max=2)
publish(Path(sys.argv[1]), Path(sys.argv[2]), disk, clock=lambda: 0.0, sleep=sleep)
"""


def test_kill_9_midway_leaves_the_old_file_and_the_next_run_cleans_up(source, destination):
    child = subprocess.run([sys.executable, "-c", KILLED_MIDWAY, source, destination])
    assert child.returncode == -signal.SIGKILL
    assert destination.read_bytes() == OLD
    assert len(names(destination.parent)) == 2  # the old file and a hidden half
    assert all(name.startswith(".") for name in names(destination.parent) if name != destination.name)
    publish(source, destination, DISK)
    assert names(destination.parent) == [destination.name]


def test_publishers_to_one_folder_go_one_after_the_other(source, destination):
    locked = []

    def ask_for_the_lock(_seconds: float) -> None:
        descriptor = os.open(destination.parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            locked.append(True)
        finally:
            os.close(descriptor)

    publish(source, destination, DISK, clock=lambda: 0.0, sleep=ask_for_the_lock)
    assert len(locked) == 6  # at the wait before each of the six chunks


def test_two_publishers_of_one_file_leave_that_of_one_of_them(source, destination):
    other = source.with_name("other.mp4")
    other.write_bytes(os.urandom(3 * MIB))
    threads = [threading.Thread(target=publish, args=[path, destination, DISK]) for path in (source, other) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert destination.read_bytes() in (source.read_bytes(), other.read_bytes())
    assert names(destination.parent) == [destination.name]


def test_too_little_space_is_refused_with_the_numbers(destination):
    with pytest.raises(InputError, match=r"final\.mp4 needs .* MiB, its disk has .* MiB free: free .* MiB or"):
        check_destination(destination, needed_bytes=2**60)
    assert_untouched(destination)


def test_a_folder_as_destination_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is a folder: name a file in it"):
        check_destination(tmp_path, needed_bytes=0)


@pytest.mark.parametrize("path", ["/proc/out.mp4", "/dev/null/out.mp4", "/proc/folder/out.mp4"])
def test_an_unwritable_destination_is_refused(path):
    with pytest.raises(InputError, match=r"cannot be written \(.*\): choose another destination"):
        check_destination(path, needed_bytes=0)


def test_a_name_too_long_is_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match="File name too long"):
        check_destination(tmp_path / ("x" * 300), needed_bytes=0)


def test_the_longest_legal_name_works(source, tmp_path):
    destination = tmp_path / ("语" * 83 + ".mp4")  # 253 bytes
    publish(source, destination, DISK)
    assert destination.stat().st_size == source.stat().st_size


def test_a_source_that_is_gone_is_our_own_fault(tmp_path):
    with pytest.raises(InternalError, match=r"gone\.mp4, the file to publish, cannot be read"):
        publish(tmp_path / "gone.mp4", tmp_path / "out.mp4", DISK)
