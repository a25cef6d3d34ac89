"""Disk manners: how fast a destination may be written, and the token buckets that keep to it."""

import time
from collections.abc import Callable

from pydantic import Field

from latentsync.records import Record

MIB = 1024 * 1024


class DiskProfile(Record):
    """What a destination disk may be asked for. Rates are averages over any longer time."""

    write_mb_per_second: float = Field(gt=0, description="Largest write rate in MB/s (10^6 bytes)")
    writes_per_second: float = Field(gt=0, description="Largest number of write operations per second")
    write_kib: int = Field(default=256, ge=4, description="Bytes that the disk counts as one write operation, in KiB")
    chunk_mib: int = Field(default=4, ge=1, le=64, description="Bytes handed to the kernel at once, in MiB")
    dirty_mib_max: int = Field(
        default=16,
        ge=1,
        description="Bytes written but not yet on the disk, at most, in MiB (beside one chunk)",
    )

    @property
    def chunk_bytes(self) -> int:
        """Bytes handed to the kernel at once."""
        return self.chunk_mib * MIB

    @property
    def dirty_bytes_max(self) -> int:
        """Bytes that may wait in the page cache."""
        return self.dirty_mib_max * MIB


class TokenBucket:
    """Lets ``rate_per_second * t + burst`` tokens through in any time t, and sleeps otherwise.

    It starts empty. A request larger than the burst is granted whole, once it is paid for.
    """

    def __init__(
        self,
        rate_per_second: float,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._burst = rate_per_second, burst
        self._clock, self._sleep = clock, sleep
        self._tokens, self._filled_at = 0.0, clock()

    def take(self, amount: float) -> None:
        """Take ``amount`` tokens; returns when they are paid for."""
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._filled_at) * self._rate, self._burst) - amount
        self._filled_at = now
        if self._tokens < 0:
            self._sleep(-self._tokens / self._rate)


class Pacer:
    """Keeps one writer within a disk profile: bytes per second and write operations per second."""

    def __init__(
        self,
        disk: DiskProfile,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._write_bytes = disk.write_kib * 1024
        self._bytes = TokenBucket(disk.write_mb_per_second * 1e6, disk.chunk_bytes, clock, sleep)
        self._writes = TokenBucket(disk.writes_per_second, self._writes_in(disk.chunk_bytes), clock, sleep)

    def before_write(self, size_bytes: int) -> None:
        """Wait until ``size_bytes`` more may be written."""
        self._bytes.take(size_bytes)
        self._writes.take(self._writes_in(size_bytes))

    def _writes_in(self, size_bytes: int) -> int:
        return -(-size_bytes // self._write_bytes)
