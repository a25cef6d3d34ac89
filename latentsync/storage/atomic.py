"""A file is there whole or not at all, and takes the place of nothing but a file."""

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from latentsync.errors import InputError, LipsyncError, TransientError
from latentsync.storage.locations import shown

FULL = (errno.ENOSPC, errno.EDQUOT)
NAME_BYTES = 200  # of the file's own name in the temporary one, which may have 255
PART = re.compile(r"\.[0-9a-f]{8}\.part.*", re.DOTALL)  # what follows that name in the temporary one
WORK, OUTPUT = 0o600, 0o666  # modes of new files: for their owner only, and as the umask says
# What only the user can change; anything else may pass.
_USER_ERRORS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST,
    errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EFBIG, errno.EINVAL,
}  # fmt: skip
_KINDS = {
    stat.S_IFDIR: "folder", stat.S_IFLNK: "link that leads nowhere", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device", stat.S_IFBLK: "device",
}  # fmt: skip


@contextlib.contextmanager
def whole_file(out: Path, mode: int = WORK) -> Iterator[Path]:
    """Yield an empty hidden file beside ``out`` (same suffix) to write to; it takes ``out``'s place in the end.

    The content is on the disk before the rename, and the rename before the return. Any exception removes
    the temporary file and leaves ``out`` as it was. A link is followed: its target is replaced. Raises
    InputError where ``out`` is a device, FIFO, socket or folder, and TransientError when the disk is full,
    within the block too.
    """
    out = Path(os.path.realpath(out))
    refuse_special(out)
    part = out.with_name(f"{_hidden(out)}.{secrets.token_hex(4)}.part{out.suffix}")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        yield part
        take_place(part, out)
    except OSError as error:
        if error.errno in FULL:
            raise TransientError(f"{out}: the disk is full; free some space, then run again") from error
        raise
    finally:
        with contextlib.suppress(OSError):  # such as of a folder that has become read-only
            part.unlink(missing_ok=True)


def take_place(part: Path, out: Path) -> None:
    """Rename the finished ``part`` to ``out``: both the content and the name are on the disk at the return."""
    _fsync(part)
    refuse_special(out)
    os.replace(part, out)
    _fsync(out.parent)


def write_whole(out: Path, content: bytes, mode: int = OUTPUT) -> None:
    """Write a small file for people, such as a report; its folder is made where it is missing."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out, mode) as part:
        part.write_bytes(content)


def private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner only."""
    if not path.is_dir():
        private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def refuse_special(path: Path) -> None:
    """Raise InputError where something else than a regular file stands at ``path``: a rename would destroy it."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode):
            inside = f" in it, such as {path / 'out.mp4'}" if stat.S_ISDIR(mode) else " or a new name"
            raise InputError(f"{path} is a {_KINDS[stat.S_IFMT(mode)]}: name a file{inside}")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the system's errors about ``path`` into InputError (what the user can change) or TransientError."""
    try:
        yield
    except OSError as error:
        raise _explain(error, path) from error


def _explain(error: OSError, path: Path) -> LipsyncError:
    if error.errno in _USER_ERRORS:
        return InputError(f"{shown(str(path))} cannot be written ({error.strerror}): choose another destination")
    return TransientError(f"{shown(str(path))} could not be written: {error.strerror}")


def leftovers(out: Path) -> list[Path]:
    """Temporary files that killed writers of ``out`` left, and what they had put beside theirs."""
    mine = _hidden(out), f".{_hidden(out)}"
    return [
        path
        for path in out.parent.iterdir()
        if any(path.name.startswith(name) and PART.fullmatch(path.name, len(name)) for name in mine)
    ]


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
