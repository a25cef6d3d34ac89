"""A file is there whole or not at all."""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from latentsync.errors import TransientError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def whole_file(out: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``out`` (same suffix); fsync and rename it when the block succeeds.

    Raises TransientError when the disk is full, within the block too.
    """
    part = out.with_name(f".{out.stem}.{uuid.uuid4().hex[:8]}.part{out.suffix}")
    try:
        yield part
        _sync(part)
        os.replace(part, out)
        _sync(out.parent)
    except OSError as error:
        if error.errno in FULL:
            raise TransientError(f"{out}: the disk is full; free some space, then run again") from error
        raise
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
