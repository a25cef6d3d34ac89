"""A real SFTP server on loopback, for the tests of what speaks to one."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
from paramiko import SFTPAttributes, SFTPServer
from paramiko.sftp import SFTP_FAILURE, SFTP_OK

USER, PASSWORD = "me", "p@ss/w:rd?#1"  # which a URL cannot hold as it is
QUOTED = "p%40ss%2Fw%3Ard%3F%231"


class SshServer:
    """Serves ``folder`` as its root to USER; what goes wrong is for the test to say."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.full_after_bytes: int | None = None  # then a write says "Failure"
        self.breaks_after_bytes: int | None = None  # then the connection ends, once
        self.written_bytes = 0
        self._key = paramiko.ECDSAKey.generate()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[paramiko.Transport] = []
        self._threads: list[threading.Thread] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"sftp://{USER}:{QUOTED}@{self.address}"
        known, port = home / ".ssh" / "known_hosts", self._listener.getsockname()[1]
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(f"[127.0.0.1]:{port} {self._key.get_name()} {self._key.get_base64()}\n")

    @contextlib.contextmanager
    def answering(self) -> Iterator["SshServer"]:
        """Answer while the context lasts."""
        self._threads.append(threading.Thread(target=self._accept))
        self._threads[0].start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self.hang_up()
            for thread in self._threads:
                thread.join()
            self._listener.close()

    def hang_up(self) -> None:
        """End all connections."""
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # of a listener that was shut down
            while True:
                connection = paramiko.Transport(self._listener.accept()[0])
                self._connections.append(connection)
                connection.add_server_key(self._key)
                connection.set_subsystem_handler("sftp", SFTPServer, _Files, self)
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    connection.start_server(server=_Login())


class _Login(paramiko.ServerInterface):
    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        good = (username, password) == (USER, PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


class _Handle(paramiko.SFTPHandle):
    def __init__(self, server: SshServer, flags: int, descriptor: int) -> None:
        super().__init__(flags)
        self._server, self._descriptor = server, descriptor

    def read(self, offset: int, length: int) -> Any:
        return os.pread(self._descriptor, length, offset)

    def write(self, offset: int, data: Any) -> int:
        told = self._server
        if told.full_after_bytes is not None and told.written_bytes >= told.full_after_bytes:
            return SFTP_FAILURE
        if told.breaks_after_bytes is not None and told.written_bytes >= told.breaks_after_bytes:
            told.breaks_after_bytes = None
            told.hang_up()
        told.written_bytes += os.pwrite(self._descriptor, data, offset)
        return SFTP_OK

    def stat(self) -> Any:
        return SFTPAttributes.from_stat(os.fstat(self._descriptor))

    def close(self) -> None:
        os.close(self._descriptor)


class _Files(paramiko.SFTPServerInterface):
    def __init__(self, server: paramiko.ServerInterface, told: SshServer) -> None:
        super().__init__(server)
        self._told = told

    def _at(self, path: str) -> Path:
        return self._told.folder / path.lstrip("/")

    def list_folder(self, path: str) -> Any:
        return self._tried(lambda: [self._of(each) for each in sorted(self._at(path).iterdir())])

    def stat(self, path: str) -> Any:
        return self._tried(lambda: SFTPAttributes.from_stat(self._at(path).stat()))

    def lstat(self, path: str) -> Any:
        return self._tried(lambda: self._of(self._at(path)))

    def open(self, path: str, flags: int, attr: Any) -> Any:
        return self._tried(lambda: _Handle(self._told, flags, os.open(self._at(path), flags, 0o666)))

    def remove(self, path: str) -> Any:
        return self._tried(lambda: self._at(path).unlink())

    def mkdir(self, path: str, attr: Any) -> Any:
        return self._tried(lambda: self._at(path).mkdir())

    def posix_rename(self, oldpath: str, newpath: str) -> Any:
        return self._tried(lambda: self._at(oldpath).rename(self._at(newpath)))

    @staticmethod
    def _of(path: Path) -> SFTPAttributes:
        return SFTPAttributes.from_stat(path.lstat(), path.name)

    @staticmethod
    def _tried(work: Any) -> Any:
        try:
            found = work()
        except OSError as error:
            return SFTPServer.convert_errno(error.errno or 0)
        return SFTP_OK if found is None or isinstance(found, Path) else found
