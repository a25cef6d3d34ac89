"""A disk that loses its power: what may be left of a sequence of writes when it is cut after any of them.

The model is POSIX's, and unkind: until a file is fsynced its new content may be there, missing, or zeros of the
full length; until a folder is fsynced any number of its newest entries may be missing.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Disk:
    """What is certain, and what is under way."""

    durable: dict[int, bytes] = field(default_factory=dict)  # content by inode
    cached: dict[int, bytes] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)  # of the last fsync of the folder
    pending: list[tuple[str, int | None]] = field(default_factory=list)  # entries since then; None: removed

    def left(self, name: str) -> Iterator[bytes | None]:
        """Everything that a reader may find under ``name`` after a cut now; None: nothing."""
        for count in range(len(self.pending) + 1):
            entries = self.entries | dict(self.pending[:count])
            inode = entries.get(name)
            if inode is None:
                yield None
            else:
                cached, durable = self.cached.get(inode, b""), self.durable.get(inode, b"")
                yield from (durable, cached, durable + bytes(len(cached) - len(durable)))


def cuts(folder: Path, write: Callable[[], object], watch: Callable[[Disk], None]) -> Disk:
    """Run ``write`` and let ``watch`` look at the disk after each of its system calls in ``folder``."""
    disk, files, real = (
        Disk(),
        {},
        {name: getattr(os, name) for name in ("open", "write", "fsync", "replace", "unlink")},
    )
    for path in folder.iterdir():
        inode = path.stat().st_ino
        disk.entries[path.name] = inode
        disk.durable[inode] = disk.cached[inode] = path.read_bytes()

    def open_(path, flags, *mode, **options):
        is_new = not os.path.lexists(path)
        descriptor = real["open"](path, flags, *mode, **options)
        inode = os.fstat(descriptor).st_ino
        files[descriptor] = inode
        if is_new and flags & os.O_CREAT:
            disk.cached[inode] = b""
            disk.pending.append((Path(path).name, inode))
            watch(disk)
        return descriptor

    def write_(descriptor, data):
        count = real["write"](descriptor, data)
        disk.cached[files[descriptor]] += bytes(data[:count])
        watch(disk)
        return count

    def fsync_(descriptor):
        real["fsync"](descriptor)
        inode = files[descriptor]
        if inode == folder.stat().st_ino:
            disk.entries |= dict(disk.pending)
            disk.pending.clear()
        else:
            disk.durable[inode] = disk.cached[inode]
        watch(disk)

    def replace_(source, target):
        inode = os.stat(source).st_ino
        real["replace"](source, target)
        disk.pending += [(Path(target).name, inode), (Path(source).name, None)]
        watch(disk)

    fakes = {"open": open_, "write": write_, "fsync": fsync_, "replace": replace_}
    with pytest.MonkeyPatch.context() as patch:
        for name, fake in fakes.items():
            patch.setattr(os, name, fake)
        write()
    return disk
