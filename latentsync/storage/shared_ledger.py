"""The time of a disk that the processes of a host share: Dask workers and jobs side by side keep to one profile."""

import os
from io import FileIO
from pathlib import Path

from latentsync.storage import locks
from latentsync.storage.throttle import booked

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # monotonic time begins anew with it
_LINE_BYTES = 100
_AHEAD_SECONDS_MAX = 60.0  # all writers of a host together book less ahead; in a shared folder strangers may write, too


class SharedLedger:
    """Of all processes of this user that write to the disk of the number ``device`` (st_dev), by ``time.monotonic``."""

    def __init__(self, device: int) -> None:
        self._path = locks.host_folder() / f"lipsync-disk-{os.getuid()}-{device}.lock"
        self._boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "-"

    def book(self, seconds: float, burst_seconds: float, now: float) -> float:
        """As ``Ledger`` says. Raises InputError where the lock cannot be held."""
        with locks.hold(self._path) as lock:
            until = booked(self._read(lock, now), seconds, burst_seconds, now)
            lock.seek(0)
            lock.truncate()
            lock.write(f"{self._boot} {until!r}".encode())
            return until

    def _read(self, lock: FileIO, now: float) -> float | None:
        boot, _, until = (lock.read(_LINE_BYTES) or b"").decode(errors="replace").partition(" ")
        try:
            booked_until = float(until) if boot == self._boot else None
        except ValueError:  # its writer was killed
            return None
        return booked_until if booked_until is not None and booked_until <= now + _AHEAD_SECONDS_MAX else None
