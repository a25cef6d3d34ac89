"""A file is there whole or not at all."""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from latentsync.errors import TransientError

FULL = (errno.ENOSPC, errno.EDQUOT)
NAME_BYTES = 200  # of the file's own name in the temporary one, which may have 255


@contextlib.contextmanager
def whole_file(out: Path) -> Iterator[Path]:
    """Yield a hidden name beside ``out`` (same suffix) to write to; it takes ``out``'s place when the block succeeds.

    The content is on the disk before the rename, and the rename before the return. Any exception removes
    the temporary file and leaves ``out`` as it was. Raises TransientError when the disk is full, within
    the block too.
    """
    part = out.with_name(f"{_hidden(out)}.{secrets.token_hex(4)}.part{out.suffix}")
    try:
        yield part
        _fsync(part)
        os.replace(part, out)
        _fsync(out.parent)
    except OSError as error:
        if error.errno in FULL:
            raise TransientError(f"{out}: the disk is full; free some space, then run again") from error
        raise
    finally:
        with contextlib.suppress(OSError):  # such as of a folder that has become read-only
            part.unlink(missing_ok=True)


def write_whole(out: Path, content: bytes) -> None:
    """Write a small file, its folder made where it is missing."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out) as part:
        part.write_bytes(content)


def leftovers(out: Path) -> list[Path]:
    """Temporary files that killed writers of ``out`` left, and what they had put beside theirs."""
    mine = re.compile(rf"\.?{re.escape(_hidden(out))}\.[0-9a-f]{{8}}\.part.*")
    return [path for path in out.parent.iterdir() if mine.fullmatch(path.name)]


def _hidden(out: Path) -> str:
    return "." + os.fsencode(out.name)[:NAME_BYTES].decode(errors="ignore")


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)
