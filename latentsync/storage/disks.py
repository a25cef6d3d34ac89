"""The disks that a job writes to: their sizes, and the limits that all writers of this host share on each.

A limited disk is that of the job's destination. Whatever else the job writes there counts too: where the
workspace lies on the same disk, so do the clips.
"""

import contextlib
import math
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from latentsync.storage.bounded_file import DirtyPages
from latentsync.storage.locations import is_url, local_path
from latentsync.storage.shared_ledger import SharedLedger
from latentsync.storage.throttle import DiskProfile, Pacer

GIB = 1024**3
LOOK_SECONDS = 0.05  # between two looks at how much a process has written: 25 MB of an encoder in a hurry

_limits: dict[int, tuple[DiskProfile, Pacer]] = {}  # by the number of the disk (st_dev)
_lock = threading.Lock()


def size_gib(location: str) -> float:
    """Size of the disk at a path that may not be there yet; infinite for a URL."""
    return math.inf if is_url(location) else shutil.disk_usage(nearest(local_path(location))).total / GIB


def on_one_disk(one: Path, other: Path) -> bool:
    """Whether both paths, which may not be there yet, lie on one disk."""
    return nearest(one).stat().st_dev == nearest(other).stat().st_dev


def limit(location: str, profile: DiskProfile) -> Pacer:
    """Let all writers to the disk of ``location`` share ``profile``; for a URL, whose disk is nobody's, a new pacer."""
    if is_url(location):
        return Pacer(profile)
    number = nearest(local_path(location)).stat().st_dev
    with _lock:
        if number not in _limits or _limits[number][0] != profile:
            _limits[number] = profile, Pacer(profile, ledger=SharedLedger(number))
        return _limits[number][1]


class Growing:
    """A file that grows by somebody else's writes, on a disk with limits; on any other it costs nothing."""

    def __init__(self, out: Path) -> None:
        self._limits = _limits.get(out.stat().st_dev)
        self._file = open(out, "rb") if self._limits else None  # noqa: SIM115  closed by the block
        self._paid_bytes = self._end = 0
        if self._file and self._limits:
            self._pages = DirtyPages(self._file.fileno(), self._limits[0].dirty_bytes_max)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file:
            self._file.close()

    @property
    def is_limited(self) -> bool:
        """Whether its disk has limits."""
        return self._limits is not None

    def is_due(self, written_bytes: int) -> bool:
        """Whether so much has been written since the last ``settle`` that it is time for the next."""
        return self._limits is not None and written_bytes - self._paid_bytes >= self._limits[0].chunk_bytes

    def settle(self, written_bytes: int | None = None) -> None:
        """Wait until the ``written_bytes`` so far (None: the file's size) are paid for and go to the disk."""
        if self._file is None or self._limits is None:
            return
        size = os.fstat(self._file.fileno()).st_size
        written_bytes = size if written_bytes is None else written_bytes
        if not self.is_due(written_bytes):
            return
        self._limits[1].before_write(written_bytes - self._paid_bytes)
        # What was written without making the file longer may be anywhere in it.
        self._pages.written(*(self._end, size - self._end) if size > self._end else (0, size))
        self._paid_bytes, self._end = written_bytes, size


@contextlib.contextmanager
def paced(pid: int, out: Path | None) -> Iterator[None]:
    """Keep the process ``pid``, which writes the file ``out``, within the limits of that disk, where it has any.

    It is stopped (SIGSTOP) while what it has written is paid for and goes to the disk, so that neither the rate
    nor the dirty pages grow.
    """
    with contextlib.ExitStack() as stack:
        growing = stack.enter_context(Growing(out)) if out else None
        if growing and growing.is_limited:
            done = threading.Event()
            watch = threading.Thread(target=_watch, args=[psutil.Process(pid), growing, done], daemon=True)
            watch.start()
            stack.callback(watch.join)
            stack.callback(done.set)
        yield


def _watch(process: psutil.Process, growing: Growing, done: threading.Event) -> None:
    with contextlib.suppress(psutil.Error):  # it has ended
        while not done.wait(LOOK_SECONDS):
            written_bytes = _written(process)
            if written_bytes is None or growing.is_due(written_bytes):
                process.suspend()
                try:
                    growing.settle(written_bytes)
                finally:
                    process.resume()


def _written(process: psutil.Process) -> int | None:
    """Bytes that the process has written, twice where it wrote twice (faststart); None where nobody counts them."""
    counters = getattr(process, "io_counters", None)  # macOS has none
    return counters().write_bytes if counters else None


def nearest(path: Path) -> Path:
    """The path, or of what is above it the first that is there."""
    return next(place for place in (path, *path.parents) if os.path.lexists(place) and place.exists())
