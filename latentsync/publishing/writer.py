"""The last step: the finished file goes to its destination, paced, checked and atomically."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from latentsync.errors import InputError, InternalError
from latentsync.records import Record, file_sha256
from latentsync.storage.atomic import OUTPUT, explained, leftovers, refuse_special, whole_file
from latentsync.storage.bounded_file import BoundedFile
from latentsync.storage.fs import check_writable, upload
from latentsync.storage.locations import is_url, local_path, shown
from latentsync.storage.locks import folder_lock
from latentsync.storage.throttle import MIB, DiskProfile, Pacer


class PublishResult(Record):
    """Where the file went, what it holds, and how long that took."""

    destination: str
    size_bytes: int
    sha256: str
    seconds: float


def publish(
    source: Path,
    destination: str | Path,
    disk: DiskProfile,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    pacer: Pacer | None = None,
) -> PublishResult:
    """Copy ``source`` to ``destination`` (a path or an fsspec URL) within the limits of ``disk``.

    ``pacer`` is that of the disk, where others write to it too. Until the end the destination keeps its old
    content. Size and sha256 are checked on the way.
    Raises InputError (not writable, too little space), TransientError (disk full on the way,
    network) or InternalError (the source is not what was written).
    """
    started = clock()
    place = str(destination)
    pacer = pacer or Pacer(disk, clock, sleep)
    size_bytes, sha256 = _describe(source)
    chunks = _verified_chunks(source, size_bytes, sha256, disk.chunk_bytes)
    if is_url(place):
        upload(chunks, place, size_bytes, pacer)
    else:
        check_destination(destination, size_bytes)
        _write_local(chunks, _local(destination), disk, pacer)
    told = shown(place) if is_url(place) else place  # a path is told whole: what follows it finds the file
    return PublishResult(destination=told, size_bytes=size_bytes, sha256=sha256, seconds=clock() - started)


def check_destination(destination: str | Path, needed_bytes: int) -> None:
    """Refuse a destination that cannot take ``needed_bytes``, by really making (and removing) a file there.

    Makes the folder where it is missing. Raises InputError.
    """
    if is_url(str(destination)):
        check_writable(str(destination))
        return
    path = _local(destination)
    with explained(path):
        refuse_special(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.with_name(f".{os.getpid()}.probe")
        probe.touch()
        probe.unlink(missing_ok=True)  # another thread's job may have looked here too
        _remove_leftovers(path)
        free_bytes = shutil.disk_usage(path.parent).free
    if free_bytes < needed_bytes:
        raise InputError(
            f"{path} needs {_mib(needed_bytes)}, its disk has {_mib(free_bytes)} free: "
            f"free {_mib(needed_bytes - free_bytes)} or choose another destination"
        )


def _local(destination: str | Path) -> Path:
    # A link is followed: its target is replaced, the link stays.
    return Path(os.path.realpath(local_path(str(destination))))


def _describe(source: Path) -> tuple[int, str]:
    try:
        return source.stat().st_size, file_sha256(source)
    except OSError as error:
        raise InternalError(f"{source}, the file to publish, cannot be read: {error.strerror}") from error


def _verified_chunks(source: Path, size_bytes: int, sha256: str, chunk_bytes: int) -> Iterator[memoryview]:
    """The content of ``source`` in chunks of one reused buffer; raises at the end if it is another."""
    buffer = memoryview(bytearray(chunk_bytes))
    digest, total_bytes = hashlib.sha256(), 0
    with open(source, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            total_bytes += count
            yield buffer[:count]
    if (total_bytes, digest.hexdigest()) != (size_bytes, sha256):
        raise InternalError(
            f"{source} changed while it was published: {total_bytes} bytes with sha256 {digest.hexdigest()} "
            f"instead of {size_bytes} with {sha256}; the destination was left as it was"
        )


def _write_local(chunks: Iterator[memoryview], destination: Path, disk: DiskProfile, pacer: Pacer) -> None:
    with (
        explained(destination),
        folder_lock(destination.parent, wait=True),  # two publishers would break the profile together
        whole_file(destination, OUTPUT) as temporary,
        BoundedFile(temporary, disk.dirty_bytes_max) as file,
    ):
        for chunk in chunks:
            pacer.before_write(len(chunk))
            file.write(chunk)


def _remove_leftovers(destination: Path) -> None:
    """Remove what killed publishers of ``destination`` left, unless somebody is publishing there now."""
    with folder_lock(destination.parent, wait=False) as alone:
        for path in leftovers(destination) if alone else []:
            path.unlink()


def _mib(size_bytes: int) -> str:
    return f"{-(-size_bytes // MIB):,} MiB"
