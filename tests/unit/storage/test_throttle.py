import random
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from latentsync.storage.throttle import MIB, DiskProfile, Pacer, TokenBucket

PROFILES = Path(__file__).parents[3] / "configs" / "disks"


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_any_stretch_of_time_stays_within_rate_and_burst():
    time, rng = FakeTime(), random.Random(1)
    bucket = TokenBucket(100, burst=50, clock=time.clock, sleep=time.sleep)
    taken = []
    for _ in range(500):
        time.now += rng.choice([0, 0, 0.01, 2])  # now and then the writer is slow
        amount = rng.uniform(1, 40)
        bucket.take(amount)
        taken.append((time.now, amount))
    for first in range(0, 500, 7):
        total = 0.0
        for now, amount in taken[first:]:
            total += amount
            assert total - taken[first][1] <= 100 * (now - taken[first][0]) + 50 + 1e-6


def test_a_steady_writer_gets_exactly_its_rate_from_the_start():
    time = FakeTime()
    bucket = TokenBucket(100, burst=50, clock=time.clock, sleep=time.sleep)
    for _ in range(40):
        bucket.take(10)
    assert time.now == pytest.approx(4.0)


def test_a_request_larger_than_the_burst_is_paid_for_and_granted():
    time = FakeTime()
    TokenBucket(10, burst=1, clock=time.clock, sleep=time.sleep).take(100)
    assert time.now == pytest.approx(10)


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
