"""Files over SSH: fsspec's SFTP, and what it lacks: known hosts, time limits, files that are whole or not there."""

import contextlib
import hashlib
import logging
import os
import platform
import socket
from collections.abc import Iterator
from stat import S_ISREG
from typing import Any, Self, cast
from urllib.parse import unquote, urlsplit

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from latentsync.errors import InputError, TransientError
from latentsync.storage import locks, web
from latentsync.storage.locations import shown, user_cache, without_user

PORT = 22
NAME_BYTES = 200  # of the file's own name in the temporary one, which may have 255
READ_BYTES = 4 << 20  # asked for at a time, in requests of 32 KiB: one by one, each would wait for the network
KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"  # beside the user's own ~/.ssh/known_hosts
_BROKE_OFF = ("EOF", "timeout")  # in what paramiko tells as a failed authentication

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # what fails is raised: it would log tracebacks beside that


@contextlib.contextmanager
def connected(url: str, allow_private: bool) -> Iterator[tuple["Sftp", str]]:
    """A connection of its own to the server of ``url``, and the path there; it ends with the context.

    User and password are those of the URL, quoted as in any URL, or else the user's own name, agent and keys. Raises
    InputError for a private address (unless ``allow_private``), a server that no known_hosts file names, and a login
    that is refused; what else fails is paramiko's or the system's.
    """
    host, port, login = _server_of(url)
    path = "/" + without_user(url).partition("://")[2].partition("/")[2]
    with contextlib.ExitStack() as stack:
        try:
            sock = stack.enter_context(_socket(web.public_addresses(host, port, allow_private), port))
            server = Sftp(host, port=port, sock=sock, **login)
            stack.callback(server.client.close)
        except paramiko.SSHException as error:
            raise _refused(error, url, host, port) or error from None
        try:
            yield server, path
        except OSError as error:
            if error.errno is None and str(error) == "Failure":  # all that SFTP has for most of what can happen
                why = "the server says no more than 'Failure', as when its disk is full or read-only"
                raise TransientError(f"{shown(url)}: {why}") from None
            raise


class Sftp(SFTPFileSystem):
    """The file system of one connection: to a known server only, and no answer is waited for without end."""

    cachable = False

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        self.client.load_system_host_keys()
        with contextlib.suppress(OSError):
            self.client.load_system_host_keys(KNOWN_HOSTS)
        self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        patience = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout", "channel_timeout"), web.TIMEOUT_SECONDS)
        try:
            self.client.connect(self.host, **patience, **self.ssh_kwargs)
            self.ftp = self.client.open_sftp()
            cast(paramiko.Channel, self.ftp.get_channel()).settimeout(web.TIMEOUT_SECONDS)
        except BaseException:
            self.client.close()
            raise

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path  # only paths come here, and a name may look like a URL

    @staticmethod
    def _decode_stat(stat: Any, parent_path: str | None = None) -> dict[str, Any]:
        found = SFTPFileSystem._decode_stat(stat, parent_path)
        return found if found["type"] != "file" or S_ISREG(stat.st_mode) else {**found, "type": "special file"}

    def makedirs(self, path: str, exist_ok: bool = False, mode: int = 0o777) -> None:
        """As fsspec's, where others make the same folders at the same time."""
        try:
            super().makedirs(path, exist_ok, mode)
        except OSError:
            if not (exist_ok and self.isdir(path)):
                raise

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **how: Any) -> Any:
        if mode == "rb":
            return _Reader(self.ftp.open(path, mode))
        self.makedirs(self._parent(path), exist_ok=True)
        return self.ftp.open(path, mode) if how.get("autocommit", True) else _Part(self.ftp, self.host, path)


class _Reader:
    """A file to read, with many requests under way."""

    def __init__(self, file: paramiko.SFTPFile) -> None:
        self._file, self._start, self._size = file, 0, file.stat().st_size or 0

    def seek(self, start: int) -> None:
        """Go on from byte ``start``."""
        self._start = start

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, and less than asked for also before the end; none at the end."""
        size = min(size, READ_BYTES, self._size - self._start)
        piece = b"".join(self._file.readv([(self._start, size)])) if size > 0 else b""
        self._start += len(piece)
        return piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class _Part:
    """A file beside ``path`` that takes its place at ``commit``, and is gone after ``discard``.

    Its name is the same whenever this user writes this file from this machine, so that what a killed writer left is
    written over; a lock keeps two writers apart.
    """

    def __init__(self, ftp: paramiko.SFTPClient, host: str, path: str) -> None:
        self._ftp, self._path = ftp, path
        folder, _, name = path.rpartition("/")
        writer = hashlib.sha256(f"{platform.node()} {os.getuid()} {host} {path}".encode()).hexdigest()
        self._part = f"{folder}/.{name.encode()[:NAME_BYTES].decode(errors='ignore')}.{writer[:8]}.part"
        place = user_cache() / "lipsync" / "locks" / f"{writer[:32]}.lock"
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = contextlib.ExitStack()
        self._lock.callback(locks.discard, place)
        self._lock.enter_context(locks.hold(place))
        try:
            with contextlib.suppress(FileNotFoundError):
                ftp.remove(self._part)
            self._file = ftp.open(self._part, "wx")  # follows no link
        except BaseException:
            self._lock.close()
            raise

    def write(self, data: bytes) -> int:
        """Append ``data``; at the return the server has said of all of it that it is written."""
        self._file.set_pipelined(True)
        self._file.write(data[:-1])
        self._file.set_pipelined(False)  # the next write waits for all answers, and raises what they tell
        self._file.write(data[-1:])
        return len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def commit(self) -> None:
        """Take the place of ``path``, in one step."""
        try:
            self._ftp.posix_rename(self._part, self._path)
        except BaseException:
            self.discard()
            raise
        self._lock.close()

    def discard(self) -> None:
        """Remove what was written, as far as the connection still allows."""
        with self._lock, contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._ftp.remove(self._part)


def _server_of(url: str) -> tuple[str, int, dict[str, Any]]:
    """Host, port, and what paramiko takes to log in there."""
    what = "this address has no host, or no number as port; in a password write %2F for /, %3F for ?, %40 for @"
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or PORT
    except ValueError:  # its text may be half a password
        raise InputError(f"{shown(url)}: {what}") from None
    if not host:
        raise InputError(f"{shown(url)}: {what}")
    login: dict[str, Any] = {"username": unquote(parts.username)} if parts.username else {}
    if parts.password:  # then no key is tried: servers count attempts
        login |= {"password": unquote(parts.password), "look_for_keys": False, "allow_agent": False}
    return host, port, login


def _socket(addresses: list[str], port: int) -> socket.socket:
    """A connection to the first address that answers."""
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return socket.create_connection((address, port), web.TIMEOUT_SECONDS)
    return socket.create_connection((addresses[-1], port), web.TIMEOUT_SECONDS)


def _refused(error: paramiko.SSHException, url: str, host: str, port: int) -> InputError | None:
    """What only the user can change: the key of the server, or the own rights there."""
    if isinstance(error, paramiko.BadHostKeyException):
        why = "the server has another key than ~/.ssh/known_hosts says: ask whoever runs it, then ssh-keygen -R"
    elif "not found in known_hosts" in str(error):
        why = f"the server is not in ~/.ssh/known_hosts; log in once by hand: sftp -P {port} {host}"
    elif isinstance(error, paramiko.AuthenticationException) and not any(sign in str(error) for sign in _BROKE_OFF):
        why = "the server refuses user, password or key; put them into the URL, or the key into ~/.ssh or the agent"
    elif "No authentication methods available" in str(error):
        why = "there is neither a password in the URL nor a key in ~/.ssh or the agent"
    else:
        return None
    return InputError(f"{shown(url)}: {why}")
