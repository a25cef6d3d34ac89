"""One job at a time makes an output: the next one waits until a job that is ending has ended, then is refused.

Jobs meet on one host, whatever their workspaces, and on all hosts that share a workspace folder. The lock dies
with its holder, also after kill -9.
"""

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from latentsync.errors import InputError
from latentsync.storage import locks
from latentsync.storage.locations import is_url, local_path, normalised, shown
from latentsync.storage.workspace import Workspace

PATIENCE_SECONDS = 30.0  # a job that was told to stop takes up to 15 s

log = logging.getLogger("latentsync.publishing")


@contextlib.contextmanager
def sole_writer(
    output: str, workspace: Workspace, run: str, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[None]:
    """Hold the right to make ``output``; ``run`` names the holder to those who are refused.

    Raises InputError where another job still holds it after ``patience_seconds``.
    """
    name = f"output-{_digest(output)}.lock"
    with (
        _held(locks.host_folder() / f"lipsync-{name}", locks.SHARED, output, run, patience_seconds),
        _held(workspace.root / "locks" / name, locks.PRIVATE, output, run, patience_seconds),
    ):
        yield


@contextlib.contextmanager
def _held(path: Path, mode: int, output: str, run: str, patience_seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + patience_seconds
    told = False

    def wait() -> None:
        nonlocal told
        holder = locks.said_by_holder(path) or "a job of another user"
        if time.monotonic() >= deadline:
            raise InputError(
                f"{shown(output)} is being made by another job ({holder}): wait for its end, or choose another output"
            )
        if not told:
            log.warning("%s: waits for another job that makes it (%s)", shown(output), holder)
        told = True

    with locks.hold(path, wait, mode) as lock:
        with contextlib.suppress(OSError):  # a file of another user's, which can be held all the same
            lock.truncate(0)
            lock.write(f"run {run}, process {os.getpid()} on {os.uname().nodename}".encode())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()  # still held: nobody else has it


def _digest(output: str) -> str:
    """Equal for all names of an output: links are followed, as publishing does."""
    place = normalised(output)
    place = place if is_url(place) else os.path.realpath(local_path(place))
    return hashlib.sha256(os.fsencode(place)).hexdigest()[:32]
