"""What other processes write to a limited disk is counted, and they are stopped while it is paid for."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from latentsync.storage import disks
from latentsync.storage.disks import Growing
from latentsync.storage.throttle import MIB, DiskProfile, Pacer

DISK = DiskProfile(write_mb_per_second=1e6, writes_per_second=1e9, chunk_mib=1, dirty_mib_max=2)
WRITE_8_MIB = """
import sys
file = open(sys.argv[1], "r+b", buffering=0)
for _ in range(8):
    file.write(bytes(1 << 20))
    print("written", flush=True)
    sys.stdin.readline()
"""


class Payments(Pacer):
    """Keeps what was paid; ``process`` must stand still meanwhile."""

    def __init__(self) -> None:
        super().__init__(DISK)
        self.paid_bytes: list[int] = []
        self.process: psutil.Process | None = None

    def before_write(self, size_bytes: int) -> None:
        while self.process and self.process.status() != psutil.STATUS_STOPPED:  # or the test times out
            os.sched_yield()
        self.paid_bytes.append(size_bytes)


@pytest.fixture
def payments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Payments:
    pays = Payments()
    monkeypatch.setattr(disks, "_limits", {tmp_path.stat().st_dev: (DISK, pays)})
    return pays


def test_a_process_is_stopped_while_what_it_wrote_is_paid(payments: Payments, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(disks, "LOOK_SECONDS", 0.001)
    out = tmp_path / "clip.mkv"
    out.touch()
    command = [sys.executable, "-c", WRITE_8_MIB, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        payments.process = psutil.Process(process.pid)
        with disks.paced(process.pid, out):
            for written in range(1, 9):
                assert process.stdout.readline() == b"written\n"
                while sum(payments.paid_bytes) < written * MIB:  # until it has been noticed
                    os.sched_yield()
                process.stdin.write(b"\n")
                process.stdin.flush()
            assert process.wait(30) == 0
    assert sum(payments.paid_bytes) == pytest.approx(8 * MIB, rel=0.01)


def test_a_file_of_our_own_is_paid_chunk_by_chunk(payments: Payments, tmp_path: Path) -> None:
    out = tmp_path / "joined.mp4"
    with open(out, "wb", buffering=0) as file, Growing(out) as growing:
        for _ in range(10):
            file.write(bytes(MIB // 2))
            growing.settle()
    assert payments.paid_bytes == [MIB] * 5


def test_another_disk_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "_limits", {})
    (tmp_path / "x").write_bytes(bytes(4 * MIB))
    with Growing(tmp_path / "x") as growing:
        growing.settle()
        assert not growing.is_limited


def test_all_writers_to_a_disk_share_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "_limits", {})
    pacer = disks.limit(str(tmp_path / "not" / "yet" / "out.mp4"), DISK)
    assert disks.limit(str(tmp_path / "other.mp4"), DISK) is pacer
    assert disks.limit("s3://bucket/out.mp4", DISK) is not pacer
    (tmp_path / "clip").touch()
    with Growing(tmp_path / "clip") as growing:
        assert growing.is_limited


def test_the_size_of_a_disk_is_known_before_the_folder_is_there(tmp_path: Path) -> None:
    assert disks.size_gib(str(tmp_path / "not" / "yet.mp4")) == disks.size_gib(str(tmp_path)) > 0
    assert disks.size_gib("s3://bucket/out.mp4") == float("inf")
