"""Destinations behind a URL (``s3://bucket/key``, any fsspec file system): a whole object or none."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
from fsspec.core import url_to_fs

from latentsync.errors import InputError, LipsyncError, TransientError
from latentsync.storage.throttle import MIB, Pacer

_BLOCK_BYTES = 16 * MIB  # one part of a multi-part upload: 10,000 of them make 156 GiB


def check_remote(url: str) -> None:
    """Write and remove an empty object beside ``url``; raises InputError where that is not allowed."""
    with _explained(url):
        file_system, path = _open(url)
        file_system.pipe_file(f"{path}.part", b"")
        with contextlib.suppress(PermissionError):  # an account that may write need not be allowed to delete
            file_system.rm_file(f"{path}.part")


def upload(chunks: Iterator[memoryview], url: str, size_bytes: int, pacer: Pacer) -> None:
    """Send ``chunks`` to ``url`` in one transaction; an exception on the way discards all of it.

    Raises InputError (no such bucket, no permission, driver not installed) or TransientError.
    """
    with _explained(url):
        file_system, path = _open(url)
        with file_system.transaction:
            file: Any = file_system.open(path, "wb", block_size=_BLOCK_BYTES)
            with file:
                for chunk in chunks:
                    pacer.before_write(len(chunk))
                    file.write(bytes(chunk))
        stored = file_system.info(path)["size"]
        if stored != size_bytes:
            raise TransientError(f"{url} holds {stored} bytes, {size_bytes} were sent: publish again")


def _open(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    # An instance of our own: a transaction belongs to the instance, and others may be writing too.
    return url_to_fs(url, skip_instance_cache=True)


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what the many fsspec drivers raise into this package's errors."""
    try:
        yield
    except LipsyncError:
        raise
    except (ImportError, ValueError) as error:
        raise InputError(f"{url}: {error}; for s3:// install the extra 's3' of this package") from error
    except (PermissionError, FileNotFoundError) as error:
        raise InputError(f"{url} cannot be written ({error}): check the bucket's name and your rights") from error
    except Exception as error:
        raise TransientError(f"{url} could not be written: {type(error).__name__}: {error}") from error
