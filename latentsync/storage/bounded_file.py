"""A file that is written with few dirty pages, so that the last fsync has little left to do.

Pacing alone bounds nothing: the kernel keeps what was written and sends it to the disk in one go,
at the disk's own speed. Here each chunk is sent off at once, and a chunk further back is waited for
and dropped from the page cache.
"""

import ctypes
import errno
import os
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

# linux/fs.h, sync_file_range(2)
_WAIT_BEFORE, _WRITE, _WAIT_AFTER = 1, 2, 4
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ESPIPE, errno.EOPNOTSUPP}

_fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has none


class BoundedFile:
    """An empty file to append to, with at most ``dirty_bytes_max`` bytes (and one chunk) not yet on the disk."""

    def __init__(self, path: Path, dirty_bytes_max: int) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        self._end = 0
        self._pages = DirtyPages(self._file, dirty_bytes_max, drop=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._file)

    def write(self, chunk: memoryview) -> None:
        """Append a chunk; waits for the disk once more than ``dirty_bytes_max`` are under way."""
        offset = self._end
        while self._end - offset < len(chunk):
            self._end += os.write(self._file, chunk[self._end - offset :])
        self._pages.written(offset, len(chunk))


class DirtyPages:
    """Sends what is written to a file off to the disk, and waits once more than ``bytes_max`` are under way.

    ``drop``: nobody reads the file soon, so its pages leave the cache.
    """

    def __init__(self, descriptor: int, bytes_max: int, drop: bool = False) -> None:
        self._file, self._bytes_max, self._drop = descriptor, bytes_max, drop
        self._under_way: deque[tuple[int, int]] = deque()  # (offset, size) not known to be on the disk

    def written(self, offset: int, size: int) -> None:
        """``size`` more bytes have been written from ``offset`` on."""
        _sync_range(self._file, offset, size, _WRITE)
        self._under_way.append((offset, size))
        while sum(size for _, size in self._under_way) > self._bytes_max:
            self._wait_for(*self._under_way.popleft())

    def _wait_for(self, offset: int, size: int) -> None:
        _sync_range(self._file, offset, size, _WAIT_BEFORE | _WRITE | _WAIT_AFTER)
        if self._drop and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, offset, size, os.POSIX_FADV_DONTNEED)


def _sync_range(descriptor: int, offset: int, size: int, flags: int) -> None:
    """sync_file_range(2), or fdatasync where the system or the file system has none."""
    if _sync_file_range is not None and _sync_file_range(descriptor, offset, size, flags) == 0:
        return
    code = ctypes.get_errno() if _sync_file_range is not None else errno.ENOSYS
    if code not in _UNSUPPORTED:
        raise OSError(code, os.strerror(code))
    if flags & _WAIT_AFTER:
        _fdatasync(descriptor)


def _load_sync_file_range() -> "ctypes._NamedFuncPointer | None":
    function = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
        function.restype = ctypes.c_int
    return function


_sync_file_range = _load_sync_file_range()
