"""Where a job keeps its files: ``<root>/<source digest>/<stage>/<key><suffix>``.

Files are named by content, written to a temporary name, fsynced and renamed, so what carries its
final name is whole. A remote root (any fsspec URL) is mirrored by a local staging folder.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from latentsync import remote
from latentsync.records import Artefact


@dataclass(frozen=True)
class Workspace:
    """A folder for intermediate files; ``mirror`` is the fsspec URL that it mirrors, if any."""

    root: Path
    mirror: str = ""

    @classmethod
    def at(cls, location: str) -> "Workspace":
        """The workspace at a folder or fsspec URL; empty: the user's cache folder."""
        cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "lipsync"
        if "://" not in location:
            return cls(Path(location).expanduser().absolute() if location else cache)
        if location.startswith("file://"):
            return cls(Path(location.removeprefix("file://")))
        staging = location.replace("://", "/").strip("/")
        return cls(cache / "staging" / staging, mirror=location.rstrip("/"))

    def path(self, source: str, stage: str, name: str) -> Path:
        """Place of a file; its folder exists afterwards."""
        path = self.root / source[:16] / stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextlib.contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """Temporary path to write to; renamed to ``path`` when the block ends well, else removed."""
        temporary = path.with_name(f".{path.stem}.{os.getpid()}-{os.urandom(3).hex()}{path.suffix}")
        try:
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def keep(self, path: Path) -> Artefact:
        """Describe a finished file, after copying it to the remote root."""
        if not self.mirror:
            return Artefact.of(path)
        url = f"{self.mirror}/{path.relative_to(self.root).as_posix()}"
        remote.upload(path, url)
        return Artefact.of(path, url=url)

    @contextlib.contextmanager
    def once(self, path: Path) -> Iterator[bool]:
        """Hold the right to make ``path``; yields True when another run made it while we waited.

        The lock is an ``flock``: it dies with its holder, also after kill -9.
        """
        with open(path.with_name(f".{path.name}.lock"), "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                waited = False
            except BlockingIOError:
                fcntl.flock(lock, fcntl.LOCK_EX)
                waited = True
            yield waited and path.is_file()
