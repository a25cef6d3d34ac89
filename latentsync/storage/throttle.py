"""Disk manners: how fast a destination may be written, and the pacer that keeps to it."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

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


class Ledger(Protocol):
    """Up to when the time of a disk is booked."""

    def book(self, seconds: float, burst_seconds: float, now: float) -> float:
        """Book ``seconds`` more; returns when they end. Time that nobody used is lost but for ``burst_seconds``."""
        ...


class OwnLedger:
    """That of the threads of one process."""

    def __init__(self) -> None:
        self._until: float | None = None
        self._lock = threading.Lock()

    def book(self, seconds: float, burst_seconds: float, now: float) -> float:
        """As ``Ledger`` says."""
        with self._lock:
            self._until = booked(self._until, seconds, burst_seconds, now)
            return self._until


def booked(until: float | None, seconds: float, burst_seconds: float, now: float) -> float:
    """The end of ``seconds`` booked behind what is booked up to ``until`` (None: nothing ever was)."""
    return max(now if until is None else until, now - burst_seconds) + seconds


class Pacer:
    """Keeps all writers that share its ledger within a disk profile: bytes and write operations per second.

    In any time t they get ``rate * t`` and one chunk. A write larger than a chunk is granted whole, once paid for.
    """

    def __init__(
        self,
        disk: DiskProfile,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        ledger: Ledger | None = None,
    ) -> None:
        self._disk, self._clock, self._sleep = disk, clock, sleep
        self._ledger = ledger or OwnLedger()
        self._burst_seconds = self._seconds(disk.chunk_bytes)

    def before_write(self, size_bytes: int) -> None:
        """Wait until ``size_bytes`` more may be written."""
        now = self._clock()
        wait_seconds = self._ledger.book(self._seconds(size_bytes), self._burst_seconds, now) - now
        if wait_seconds > 0:
            self._sleep(wait_seconds)

    def _seconds(self, size_bytes: int) -> float:
        """Of the disk's time: by bytes or by operations, whichever take longer."""
        writes = -(-size_bytes // (self._disk.write_kib * 1024))
        by_bytes = size_bytes / (self._disk.write_mb_per_second * 1e6)
        return max(by_bytes, writes / self._disk.writes_per_second)
