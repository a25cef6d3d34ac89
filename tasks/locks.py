"""Two runs that want the same result: one makes it, the other waits and finds it done.

A lock manager for Prefect's transactions over ``flock``: a lock dies with its holder, also after kill -9.
"""

import asyncio
import time
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from latentsync.storage import locks
from latentsync.storage.workspace import Workspace
from tasks.progress import Progress

_held: dict[Path, tuple[str, FileIO]] = {}  # lock -> holder and open file, of this process


@dataclass(frozen=True)
class KeyLocks:
    """Locks on the keys of one workspace (Prefect's ``LockManager`` protocol)."""

    work_dir: str

    def acquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """Wait for the lock; raises ``Stopped`` when the run is cancelled meanwhile."""
        progress, path = Progress.of_task(self.work_dir), self._path(key)
        deadline = time.monotonic() + (acquire_timeout or float("inf"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with progress.telling():
            while (lock := locks.try_hold(path)) is None:
                if time.monotonic() > deadline:
                    return False
                progress.note("waits for another run that makes the same")
                time.sleep(locks.POLL_SECONDS)
        _held[path] = (holder, lock)
        return True

    async def aacquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """``acquire_lock`` beside an event loop."""
        return await asyncio.to_thread(self.acquire_lock, key, holder, acquire_timeout, hold_timeout)

    def release_lock(self, key: str, holder: str) -> None:
        """Let the next one have it."""
        if self.is_lock_holder(key, holder):
            _held.pop(self._path(key))[1].close()

    def is_locked(self, key: str) -> bool:
        """Whether anybody holds it."""
        return locks.is_held(self._path(key))

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Whether ``holder`` of this process holds it."""
        return _held.get(self._path(key), ("", None))[0] == holder

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody holds it."""
        deadline = time.monotonic() + (timeout or float("inf"))
        while self.is_locked(key):
            if time.monotonic() > deadline:
                return False
            time.sleep(locks.POLL_SECONDS)
        return True

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """``wait_for_lock`` beside an event loop."""
        return await asyncio.to_thread(self.wait_for_lock, key, timeout)

    def _path(self, key: str) -> Path:
        return Workspace.at(self.work_dir).root / "locks" / f"{key}.lock"
