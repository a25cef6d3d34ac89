"""Every lock of this package: a file (or folder) held by ``flock``, which dies with its holder, also after kill -9.

A lock file may lie where other users of the host can write, so nothing that is found there is trusted: links
are not followed, only regular files are opened, and no mode is changed but that of a file just made. Whoever
may read a lock file can hold it: ``flock`` needs no right to write.
"""

import contextlib
import errno
import fcntl
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

from latentsync.errors import InputError
from latentsync.storage.locations import user_cache

POLL_SECONDS = 0.1
PRIVATE, SHARED = 0o600, 0o644  # modes of a new lock file: for its owner's jobs, for every user of the host
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a planted link or FIFO neither leads away nor blocks
HOLDER_BYTES = 200  # that are read of what a lock says
_ATTEMPTS = 5  # a lock file may be removed, or not yet be readable, at the moment it is opened
_UNSAFE = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV)  # what open(2) says of links, folders, devices

log = logging.getLogger(__name__)


@contextlib.contextmanager
def hold(path: Path, on_wait: Callable[[], None] = lambda: None, mode: int = PRIVATE) -> Iterator[FileIO]:
    """Hold the lock ``path`` and yield its file, open to read and, where allowed, to write.

    While another holds it, calls ``on_wait`` now and then, which may raise to give up. Raises as ``try_hold``.
    """
    while (lock := try_hold(path, mode)) is None:
        on_wait()
        time.sleep(POLL_SECONDS)
    with lock:
        yield lock


def try_hold(path: Path, mode: int = PRIVATE) -> FileIO | None:
    """The file of the lock ``path``, which holds it until it is closed; None while another holds it.

    A missing file is made with ``mode``. Raises InputError where ``path`` is a link or no regular file, belongs
    to somebody who does not share it, or lies on a file system without locks.
    """
    for _ in range(_ATTEMPTS):
        lock = _open(path, mode)
        if lock is None:
            time.sleep(POLL_SECONDS)
            continue
        if not _flock(lock.fileno(), path):
            lock.close()
            return None
        if _is_at(lock, path):
            return lock
        lock.close()  # removed by a sweep since it was opened: the lock is another file by now
    raise InputError(
        f"{path}: the lock cannot be opened ({_owner(path)}); remove it, or set TMPDIR to a folder of yours"
    )


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock ``path``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    except OSError:
        return False
    try:
        return not _flock(descriptor, path)
    finally:
        os.close(descriptor)


def said_by_holder(path: Path) -> str:
    """What the holder of the lock ``path`` wrote into it, in one line of printable characters."""
    with contextlib.suppress(OSError, InputError):
        with _checked(FileIO(os.open(path, os.O_RDONLY | _FLAGS), "r"), path) as lock:
            text = (lock.read(HOLDER_BYTES) or b"").decode(errors="replace")
        return "".join(character for character in text if character.isprintable())
    return ""


def discard(path: Path) -> bool:
    """Remove the lock file ``path`` unless somebody holds it; says whether it went."""
    with contextlib.suppress(OSError, InputError):
        if path.is_file() and (lock := try_hold(path)):
            with lock:
                path.unlink()
                return True
    return False


@contextlib.contextmanager
def folder_lock(folder: Path, wait: bool) -> Iterator[bool]:
    """Hold the lock of ``folder`` itself; yields False where it is taken or the file system has no locks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield _flock_folder(descriptor, wait)
    finally:
        os.close(descriptor)


def host_folder() -> Path:
    """Where all users of this host keep the locks that they meet at: the temporary folder, if it is safe.

    Where strangers could replace files in it, each user has a folder of his own, and a warning is logged.
    """
    folder = Path(tempfile.gettempdir())
    status = folder.stat()
    ours = status.st_uid in (0, os.geteuid())
    if ours and (status.st_mode & stat.S_ISVTX or not status.st_mode & 0o022):
        return folder
    own = user_cache() / "lipsync" / "locks"
    own.mkdir(parents=True, exist_ok=True, mode=0o700)
    mode = stat.filemode(status.st_mode)
    log.warning("%s (%s, %s) is no safe place for locks that users share: using %s", folder, mode, _owner(folder), own)
    return own


def _open(path: Path, mode: int) -> FileIO | None:
    """The lock's file, made where it is missing; None where it cannot be opened at this moment."""
    for access, how in ((os.O_RDWR, "r+"), (os.O_RDONLY, "r")):
        try:
            return _checked(FileIO(os.open(path, access | _FLAGS), how), path)
        except PermissionError:
            continue
        except FileNotFoundError:
            break
        except OSError as error:
            raise _planted(path) if error.errno in _UNSAFE else error from error
    else:
        return None
    try:
        lock = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, mode), "r+")
    except FileExistsError:
        return None
    os.fchmod(lock.fileno(), mode)  # whatever the umask; we have just made it
    return lock


def _checked(lock: FileIO, path: Path) -> FileIO:
    status = os.fstat(lock.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
        return lock
    lock.close()
    raise _planted(path)


def _planted(path: Path) -> InputError:
    return InputError(
        f"{path} is not a plain file of its own, as a lock must be ({_owner(path)}): somebody has put it there; "
        "remove it, or set TMPDIR to a folder of yours"
    )


def _owner(path: Path) -> str:
    try:
        return f"owner: user {os.lstat(path).st_uid}"
    except OSError as error:
        return str(error.strerror)


def _flock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise InputError(f"{path}: no lock on this file system ({error.strerror}); choose another folder") from error
    return True


def _is_at(lock: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False


def _flock_folder(descriptor: int, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True
