"""Delete what nobody needs any more from a workspace, and nothing that a run might still want.

A file's last use is the later of its modification and access times: a cache hit reads the whole
file to check its digest. Access times may lag a day behind (``relatime``), which is allowed for; on
file systems mounted ``noatime`` they do not move, and a file ages from the day it was made.
Only names that this package gives are looked at, so a folder that holds other things too is safe.
"""

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from latentsync.errors import InputError
from latentsync.records import Record
from latentsync.storage import locks

GIB = 1024**3
DAY_SECONDS = 86_400
TEMPORARY_SECONDS = DAY_SECONDS  # a writer that has been silent for a day is dead
ACCESS_LAG_SECONDS = DAY_SECONDS  # relatime, the default of Linux: mount(8)

_FOLDERS = {  # the workspace's folders -> names of finished files in them, as regular expressions
    r"[0-9a-f]{16}": r"[\w-]+/[^.][^/]*",  # <source digest>/<stage>/<key>
    r"results": r"[\w-]+-[0-9a-f]{64}",
    r"conformed": r"(lossless|remuxed(-flac)?)-[0-9a-f]{16}\.mkv",
    r"finished": r"[0-9a-f]{64}\.json",
    r"rejected": r"[0-9a-f]{64}\.json",
    r"inputs": r"[0-9a-f]{16}/[^.][^/]*",  # <URL and its state>/<name>
    r"locks": r"(?!)",  # nothing but locks
}
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.part.*|\.\d+\.probe")
_LOCK = re.compile(r".+\.lock")
_KEY = re.compile(r"[\w-]+-[0-9a-f]{64}")
_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|local")


class SweepLimits(Record):
    """What may stay in a workspace."""

    older_than_days: float = Field(
        default=30, ge=0, le=3650, description="Days without use after which a file goes, 0 to 3650"
    )
    max_gib: float | None = Field(
        default=None,
        ge=0,
        description="GiB that finished work may fill; the longest unused goes first. Empty: no limit",
    )
    grace_hours: float = Field(
        default=24,
        ge=1,
        le=8760,
        description="Hours since its last use in which a file never goes, 1 to 8760",
    )


class Swept(Record):
    """How many of each went (or would go), and what that frees."""

    artefacts: int
    temporary_files: int
    run_folders: int
    locks: int
    empty_folders: int
    freed_bytes: int
    kept_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.artefacts} finished files, {self.temporary_files} temporary files, {self.run_folders} run folders, "
            f"{self.locks} locks and {self.empty_folders} empty folders: {self.freed_bytes / GIB:.2f} GiB; "
            f"{self.kept_bytes / GIB:.2f} GiB stay"
        )


@dataclass(frozen=True)
class _File:
    path: Path
    size_bytes: int
    used: float  # seconds since the epoch


def sweep_workspace(root: Path, limits: SweepLimits, dry_run: bool = False, now: float | None = None) -> Swept:
    """Delete from the workspace ``root`` what is beyond ``limits``; ``dry_run`` only counts.

    Never touches what was used within the grace period or since a run that is still alive began,
    nor what somebody holds the lock of. Raises ``InputError`` when there is no such folder.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such workspace; set work_dir to the folder that the jobs use")
    now = time.time() if now is None else now
    idle = now - limits.grace_hours * 3600
    files, temporaries, lock_files = _look(root)
    total = sum(file.size_bytes for file in files)
    protected_since = min([idle, *_live_runs(root, idle)]) - ACCESS_LAG_SECONDS
    chosen = _beyond(root, files, limits, now, protected_since)
    stale = [file for file in temporaries if file.used < min(idle, now - TEMPORARY_SECONDS)]
    gone, broken = _delete(chosen, dry_run), _delete(stale, dry_run)
    freed = sum(file.size_bytes for file in gone)
    return Swept(
        artefacts=len(gone),
        temporary_files=len(broken),
        run_folders=_delete_runs(root, min(idle, now - limits.older_than_days * DAY_SECONDS), dry_run),
        locks=_delete_locks([lock.path for lock in lock_files if lock.used < idle], dry_run),
        empty_folders=0 if dry_run else _delete_empty(root, idle),
        freed_bytes=freed + sum(file.size_bytes for file in broken),
        kept_bytes=total - freed,
    )


def _look(root: Path) -> tuple[list[_File], list[_File], list[_File]]:
    """Finished files, temporary files and locks of a workspace."""
    finished, temporaries, lock_files = [], [], []
    for folder, pattern in _folders(root):
        for path in _walk(folder):
            with contextlib.suppress(FileNotFoundError):  # a run renamed or removed it meanwhile
                file = _File(path, path.stat().st_size, _used(path))
                if _LOCK.fullmatch(path.name):
                    lock_files.append(file)
                elif _TEMPORARY.fullmatch(path.name):
                    temporaries.append(file)
                elif pattern.fullmatch(path.relative_to(folder).as_posix()):
                    finished.append(file)
    return finished, temporaries, lock_files


def _folders(root: Path) -> Iterator[tuple[Path, re.Pattern[str]]]:
    for folder in sorted(root.iterdir()):
        for name, pattern in _FOLDERS.items():
            if re.fullmatch(name, folder.name) and folder.is_dir() and not folder.is_symlink():
                yield folder, re.compile(pattern)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):  # does not follow links
        yield from (Path(parent, name) for name in names)


def _beyond(root: Path, files: list[_File], limits: SweepLimits, now: float, protected_since: float) -> list[_File]:
    """Files past their age, then the longest unused ones until the rest is within the size."""
    expired = now - limits.older_than_days * DAY_SECONDS
    excess = sum(file.size_bytes for file in files) - (float("inf") if limits.max_gib is None else limits.max_gib * GIB)
    chosen = []
    for file in sorted(files, key=lambda file: file.used):
        if file.used >= protected_since or (file.used >= expired and excess <= 0):
            break
        if not any(map(locks.is_held, _locks_of(file.path, root))):
            chosen.append(file)
            excess -= file.size_bytes
    return chosen


def _locks_of(path: Path, root: Path) -> Iterator[Path]:
    """The locks under which a file may be made: its own, and that of its key."""
    yield path.with_name(f".{path.name}.lock")
    if key := _KEY.match(path.name):
        yield root / "locks" / f"{key[0]}.lock"


def _live_runs(root: Path, idle: float) -> Iterator[float]:
    """When each run began that has recorded a step since ``idle``."""
    for folder in _runs(root):
        steps = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if any(_mtime(path) >= idle for path in steps):
            yield min(_began(path) for path in steps)


def _delete_runs(root: Path, before: float, dry_run: bool) -> int:
    old = [run for run in _runs(root) if max(map(_mtime, [run, *run.iterdir()])) < before]
    for folder in [] if dry_run else old:
        shutil.rmtree(folder, ignore_errors=True)
    return len(old)


def _runs(root: Path) -> list[Path]:
    folder = root / "runs"
    return [path for path in folder.iterdir() if _RUN.fullmatch(path.name)] if folder.is_dir() else []


def _began(step: Path) -> float:
    try:
        return float(json.loads(step.read_text())["began"])
    except (OSError, ValueError, KeyError, TypeError):  # not a step, or just being replaced
        return _mtime(step)


def _used(path: Path) -> float:
    stat = path.stat()
    return max(stat.st_mtime, stat.st_atime)


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _delete(files: list[_File], dry_run: bool) -> list[_File]:
    """The files that went, or would go."""
    if dry_run:
        return files
    gone = []
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            if _used(file.path) <= file.used:  # else a run has come to use it since we looked
                file.path.unlink()
                gone.append(file)
    return gone


def _delete_locks(paths: list[Path], dry_run: bool) -> int:
    """How many locks that nobody holds went, or would go."""
    return sum(not locks.is_held(path) if dry_run else locks.discard(path) for path in paths)


def _delete_empty(root: Path, idle: float) -> int:
    """Remove folders in which nothing has happened since ``idle`` and that hold nothing."""
    count = 0
    for folder, _ in _folders(root):
        for parent, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):  # not empty, or used again this moment
                if _mtime(Path(parent)) < idle:
                    os.rmdir(parent)
                    count += 1
    return count
