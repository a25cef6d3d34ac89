import os
import random
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from latentsync.storage.shared_ledger import SharedLedger
from latentsync.storage.throttle import MIB, DiskProfile, Ledger, Pacer

PROFILES = Path(__file__).parents[3] / "configs" / "disks"


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def pacer(time: FakeTime, ledger: Ledger | None = None) -> Pacer:
    """100 MiB per second with a burst of one chunk, 1 MiB."""
    disk = DiskProfile(write_mb_per_second=100 * MIB / 1e6, writes_per_second=1e9, chunk_mib=1)
    return Pacer(disk, time.clock, time.sleep, ledger)


def test_any_stretch_of_time_stays_within_rate_and_burst():
    time, rng = FakeTime(), random.Random(1)
    paced, taken = pacer(time), []
    for _ in range(500):
        time.now += rng.choice([0, 0, 0.0001, 0.02])  # now and then the writer is slow
        amount = int(rng.uniform(0.02, 0.8) * MIB)
        paced.before_write(amount)
        taken.append((time.now, amount))
    for first in range(0, 500, 7):
        total = 0.0
        for now, amount in taken[first:]:
            total += amount
            assert total - taken[first][1] <= 100 * MIB * (now - taken[first][0]) + MIB + 1


def test_a_steady_writer_gets_exactly_its_rate_from_the_start():
    time = FakeTime()
    paced = pacer(time)
    for _ in range(40):
        paced.before_write(MIB // 2)
    assert time.now == pytest.approx(0.2)


def test_a_request_larger_than_the_burst_is_paid_for_and_granted():
    time = FakeTime()
    pacer(time).before_write(100 * MIB)
    assert time.now == pytest.approx(1)


@pytest.mark.parametrize(
    ("mb_per_second", "writes_per_second", "expected_seconds"),
    [(150, 1e9, 160 * MIB / 150e6), (1e9, 64, 160 * 4 / 64)],  # bytes bind; operations of 256 KiB bind
)
def test_the_tighter_of_the_two_limits_binds(mb_per_second, writes_per_second, expected_seconds):
    time = FakeTime()
    disk = DiskProfile(write_mb_per_second=mb_per_second, writes_per_second=writes_per_second)
    pacer = Pacer(disk, time.clock, time.sleep)
    for _ in range(40):
        pacer.before_write(4 * MIB)
    assert time.now == pytest.approx(expected_seconds)


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_profiles_are_valid(path):
    DiskProfile.model_validate(yaml.safe_load(path.read_text()))


def test_pl0_stays_below_the_limits_of_the_disk():
    disk = DiskProfile.model_validate(yaml.safe_load((PROFILES / "pl0.yaml").read_text()))
    assert (disk.write_mb_per_second, disk.writes_per_second) == (150, 8000)


def test_a_profile_refuses_misspelt_and_impossible_values():
    with pytest.raises(ValidationError, match="write_mb_per_sec\n"):
        DiskProfile.model_validate({"write_mb_per_sec": 150, "writes_per_second": 8000})
    with pytest.raises(ValidationError, match="greater than 0"):
        DiskProfile(write_mb_per_second=0, writes_per_second=8000)


def test_processes_share_a_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tmp_path.chmod(0o700)
    time = FakeTime()
    paced = [pacer(time, SharedLedger(7)) for _ in range(4)]  # each reads the file, as one of its own process would
    for _ in range(10):
        for each in paced:
            each.before_write(MIB // 2)
    assert time.now == pytest.approx(0.2)
    pacer(time, SharedLedger(8)).before_write(MIB // 2)  # another disk
    assert time.now == pytest.approx(0.205)


@pytest.mark.parametrize("content", [b"", b"torn", b"another-boot 1e9", b"\xff\xfe"])
def test_what_a_killed_writer_or_an_earlier_boot_left_holds_nobody_up(content, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tmp_path.chmod(0o700)
    time, ledger = FakeTime(), SharedLedger(7)
    (tmp_path / f"lipsync-disk-{os.getuid()}-7.lock").write_bytes(content)
    pacer(time, ledger).before_write(MIB // 2)
    assert time.now == pytest.approx(0.005)


@pytest.mark.parametrize("until", ["1e12", "inf", "nan"])
def test_nobody_books_a_disk_for_a_year(until, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tmp_path.chmod(0o700)
    time, ledger = FakeTime(), SharedLedger(7)
    pacer(time, ledger).before_write(MIB // 2)
    path = tmp_path / f"lipsync-disk-{os.getuid()}-7.lock"
    path.write_text(f"{path.read_text().split()[0]} {until}")
    before = time.now
    pacer(time, ledger).before_write(MIB // 2)
    assert time.now == pytest.approx(before + 0.005)
