"""Where a job keeps its files: ``<root>/<source digest>/<stage>/<key><suffix>``.

Files are named by content and written through ``atomic``, so what carries its final name is whole.
A remote root (any fsspec URL) is mirrored by a local staging folder.
"""

import contextlib
import errno
import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from latentsync.errors import LipsyncError
from latentsync.records import Artefact, file_sha256
from latentsync.storage import locks
from latentsync.storage.atomic import explained, private_folder
from latentsync.storage.locations import is_url, normalised, user_cache, without_user

log = logging.getLogger(__name__)

RECORD_MIB_MAX = 16  # of a record: they have some KiB, the largest those of a plan
# Beside those of the sources.
FOLDERS = ("conformed", "finished", "inputs", "locks", "rejected", "results", "runs")


@dataclass(frozen=True)
class Workspace:
    """A folder for intermediate files; ``mirror`` is the fsspec URL that it mirrors, if any."""

    root: Path
    mirror: str = ""

    @classmethod
    def at(cls, location: str) -> "Workspace":
        """The workspace at a folder or fsspec URL; empty: the user's cache folder."""
        cache = user_cache() / "lipsync"
        location = normalised(location or str(cache))
        if not is_url(location):
            return cls(Path(location))
        staging = without_user(location).replace("://", "/").strip("/")
        if without_user(location) != location:  # another user sees other files; a folder's name tells no password
            staging += "-" + hashlib.sha256(location.encode()).hexdigest()[:8]
        return cls(cache / "staging" / staging, mirror=location.rstrip("/"))

    def open(self) -> None:
        """Make the folder where it is missing, for its owner only. Raises InputError where that cannot be."""
        with explained(self.root):
            private_folder(self.root)
            for folder in FOLDERS:
                private_folder(self.root / folder)
            probe = self.root / f".{os.getpid()}.probe"
            probe.touch(mode=0o600)
            probe.unlink(missing_ok=True)  # another thread's job may have looked here too

    def path(self, source: str, stage: str, name: str) -> Path:
        """Place of a file; its folder exists afterwards."""
        path = self.root / source[:16] / stage / name
        private_folder(path.parent)
        return path

    def used_bytes(self, source: str) -> int:
        """Bytes of what has been made from a source so far."""
        return sum(path.stat().st_size for path in (self.root / source[:16]).rglob("[!.]*") if path.is_file())

    def keep(self, path: Path) -> Artefact:
        """Describe a finished file, after copying it to the remote root."""
        if not self.mirror:
            return Artefact.of(path)
        url = f"{self.mirror}/{path.relative_to(self.root).as_posix()}"
        from latentsync.storage.fs import upload_file  # slow to import, and only needed here

        upload_file(path, url)
        return Artefact.of(path, url=url)

    def drop(self, file: Artefact) -> None:
        """Delete a file that was kept, and its copy in the remote root; one that cannot be reached stays."""
        file.path.unlink(missing_ok=True)
        if file.url:
            from latentsync.storage.fs import remove  # as above

            try:
                remove(file.url)
            except LipsyncError as error:
                log.warning("a work file is left: %s", error)

    @contextlib.contextmanager
    def once(self, path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[bool]:
        """Hold the right to make ``path``; yields True when it is there as its last maker left it.

        While another holds it, calls ``on_wait`` now and then, which may raise to give up. The lock is an
        ``flock``: it dies with its holder, also after kill -9. Its file remembers the digest of what was made.
        """
        with locks.hold(path.with_name(f".{path.name}.lock"), on_wait) as lock:
            yield path.is_file() and lock.read() == file_sha256(path).encode()
            lock.truncate(0)
            lock.seek(0)
            lock.write(file_sha256(path).encode())


def read_record(path: Path) -> bytes:
    """Bytes of a small file in a workspace that others may write to.

    Raises OSError unless it is a regular file of at most RECORD_MIB_MAX: a planted link is not followed, a FIFO not
    waited for.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > RECORD_MIB_MAX << 20:
            raise OSError(errno.EINVAL, "is no record", str(path))
        return file.read()
