"""A file is there whole or not at all."""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from latentsync.errors import InputError, TransientError


@contextlib.contextmanager
def whole_file(out: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``out`` (same suffix); fsync and rename it when the block succeeds.

    Raises TransientError when the disk is full and InputError when the folder cannot be written.
    """
    part = out.with_name(f".{out.stem}.{uuid.uuid4().hex[:8]}.part{out.suffix}")
    try:
        yield part
        _sync(part)
        os.replace(part, out)
        _sync(out.parent)
    except OSError as error:
        raise _explained(error, out) from error
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(error: OSError, out: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransientError(f"{out}: the disk is full; free some space, then run again")
    return InputError(f"{out}: cannot be written ({error}); choose a folder that exists and is writable")
