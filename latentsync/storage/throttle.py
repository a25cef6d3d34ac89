"""Disk manners: how fast a destination may be written, and the token buckets that keep to it."""

import threading
import time
from collections.abc import Callable

from pydantic import Field

from latentsync.records import Record

MIB = 1024 * 1024


class Growth(Record):
    """A limit of a cloud disk, which grows with its size: min(base + per_gib * GiB, most)."""

    base: float = Field(gt=0, description="Limit of the smallest disk")
    per_gib: float = Field(ge=0, description="What each GiB of the disk adds")
    most: float = Field(gt=0, description="Limit of the largest disks")

    def share(self, disk_gib: float) -> float:
        """The limit of a disk of this size, as a share of that of the largest."""
        return min(self.base + self.per_gib * disk_gib, self.most) / self.most


class DiskProfile(Record):
    """What a job may ask of a disk. Rates are averages over any longer time, those of the largest disk of its kind."""

    write_mb_per_second: float = Field(gt=0, description="Largest write rate in MB/s (10^6 bytes)")
    writes_per_second: float = Field(gt=0, description="Largest number of write operations per second")
    write_kib: int = Field(default=256, ge=4, description="Bytes that the disk counts as one write operation, in KiB")
    chunk_mib: int = Field(default=4, ge=1, le=64, description="Bytes handed to the kernel at once, in MiB")
    dirty_mib_max: int = Field(
        default=16,
        ge=1,
        description="Bytes written but not yet on the disk, at most, in MiB (beside one chunk)",
    )

    disk_mb_per_second: Growth | None = Field(default=None, description="The disk's own limit in MB/s, if it grows")
    disk_writes_per_second: Growth | None = Field(default=None, description="The disk's own limit of writes, likewise")

    def on(self, disk_gib: float) -> "DiskProfile":
        """The profile of a disk of this size: it takes the same share of a smaller disk's limits."""
        mb = self.disk_mb_per_second.share(disk_gib) if self.disk_mb_per_second else 1
        writes = self.disk_writes_per_second.share(disk_gib) if self.disk_writes_per_second else 1
        rates = {
            "write_mb_per_second": self.write_mb_per_second * mb,
            "writes_per_second": self.writes_per_second * writes,
        }
        return self.model_copy(update=rates | {"disk_mb_per_second": None, "disk_writes_per_second": None})

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

    It starts empty, and threads may share it. A request larger than the burst is granted whole, once it is paid for.
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
        self._lock = threading.Lock()

    def take(self, amount: float) -> None:
        """Take ``amount`` tokens; returns when they are paid for."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._tokens + (now - self._filled_at) * self._rate, self._burst) - amount
            self._filled_at = now
            debt = -self._tokens
        if debt > 0:
            self._sleep(debt / self._rate)


class Pacer:
    """Keeps all writers that share it within a disk profile: bytes per second and write operations per second."""

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
