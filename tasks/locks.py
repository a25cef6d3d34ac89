"""Two runs that want the same result: one makes it, the other waits and finds it done.

A lock manager for Prefect's transactions over ``flock``: a lock dies with its holder, also after kill -9.
"""

import asyncio
import threading
import time
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from latentsync.storage import locks
from latentsync.storage.workspace import Workspace
from tasks.progress import Progress


class _Held(NamedTuple):
    holder: str
    lock: FileIO
    thread: int


_held: dict[Path, _Held] = {}  # of this process


@dataclass(frozen=True)
class KeyLocks:
    """Locks on the keys of one workspace (Prefect's ``LockManager`` protocol)."""

    work_dir: str

    def acquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """Wait for the lock; raises ``Stopped`` when the run is cancelled meanwhile."""
        self._release_leaked()
        progress, path = Progress.of_task(self.work_dir), self._path(key)
        deadline = time.monotonic() + (acquire_timeout or float("inf"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with progress.telling():
            while (lock := locks.try_hold(path)) is None:
                if time.monotonic() > deadline:
                    return False
                progress.note("waits for another run that makes the same")
                time.sleep(locks.POLL_SECONDS)
        _held[path] = _Held(holder, lock, threading.get_ident())
        return True

    async def aacquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        """``acquire_lock`` beside an event loop."""
        return await asyncio.to_thread(self.acquire_lock, key, holder, acquire_timeout, hold_timeout)

    def release_lock(self, key: str, holder: str) -> None:
        """Let the next one have it."""
        if self.is_lock_holder(key, holder):
            _held.pop(self._path(key)).lock.close()

    def is_locked(self, key: str) -> bool:
        """Whether anybody holds it."""
        return locks.is_held(self._path(key))

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Whether ``holder`` of this process holds it."""
        held = _held.get(self._path(key))
        return held is not None and held.holder == holder

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

    def _release_leaked(self) -> None:
        """Let go what this thread still holds: Prefect forgets a lock when reading a finished result fails."""
        for path in [path for path, held in list(_held.items()) if held.thread == threading.get_ident()]:
            _held.pop(path).lock.close()

    def _path(self, key: str) -> Path:
        return Workspace.at(self.work_dir).root / "locks" / f"{key}.lock"
