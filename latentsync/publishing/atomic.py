"""All or nothing: a destination holds the old file or the whole new one."""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STEM_CHARACTERS = 60  # keeps the temporary name below 255 bytes, also in scripts of 3 bytes a letter


@contextmanager
def replacing(destination: Path) -> Iterator[Path]:
    """Yield a hidden name beside ``destination`` to write to; it takes the destination's place at the end.

    The content is on the disk before the rename, and the rename before the return. Any exception
    removes the temporary file and leaves the destination as it was.
    """
    temporary = destination.with_name(_hidden_prefix(destination) + f"{secrets.token_hex(4)}.part")
    try:
        yield temporary
        _fsync(temporary)
        os.replace(temporary, destination)
        _fsync(destination.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_whole(destination: Path, content: bytes) -> None:
    """Write a small file atomically, its folder made where it is missing."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    with replacing(destination) as temporary:
        temporary.write_bytes(content)


def leftovers(destination: Path) -> list[Path]:
    """Temporary files that killed writers of ``destination`` left beside it."""
    mine = re.compile(re.escape(_hidden_prefix(destination)) + r"[0-9a-f]{8}\.part")
    return [path for path in destination.parent.iterdir() if mine.fullmatch(path.name)]


def _hidden_prefix(destination: Path) -> str:
    return f".{destination.name[:_STEM_CHARACTERS]}."


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)
