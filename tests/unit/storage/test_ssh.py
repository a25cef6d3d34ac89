"""Files over SSH, on a real SFTP server of this machine: known, patient within bounds, whole or not there."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from latentsync.errors import InputError, TransientError, UnusableFile
from latentsync.publishing.writer import check_destination, publish
from latentsync.storage import fs, web
from latentsync.storage.download import download, fetch
from latentsync.storage.fs import UrlLimits
from latentsync.storage.throttle import MIB, DiskProfile
from latentsync.storage.workspace import Workspace
from tests.ssh_server import QUOTED, SshServer

DISK = DiskProfile(write_mb_per_second=1e3, writes_per_second=1e9, chunk_mib=1)
HERE = UrlLimits(allow_private=True)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    for name in ("home", "there", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with SshServer(tmp_path / "there", tmp_path / "home").answering() as server:
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "joined.mp4"
    path.write_bytes(os.urandom(5 * MIB + 1))
    return path


@pytest.fixture
def old(server: SshServer) -> Path:
    """The file that stands at the destination."""
    (server.folder / "out.mp4").write_bytes(b"old")
    return server.folder / "out.mp4"


def names(server: SshServer) -> list[str]:
    return sorted(path.relative_to(server.folder).as_posix() for path in server.folder.rglob("*") if path.is_file())


def test_what_is_published_is_what_comes_back(server: SshServer, source: Path, tmp_path: Path):
    url = f"{server.url}/new/folder/out.mp4"
    check_destination(url, 1)
    assert publish(source, url, DISK).destination == f"sftp://{server.address}/new/folder/out.mp4"
    assert names(server) == ["new/folder/out.mp4"]
    assert fs.list_files(f"{server.url}/new/folder") == [url]
    assert download(url, tmp_path / "back.mp4", HERE).read_bytes() == source.read_bytes()
    with pytest.raises(InputError, match=r"set run\.allow_private_urls to allow it"):
        download(url, tmp_path / "back.mp4")


def test_each_address_of_a_server_is_tried(server: SshServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(web, "public_addresses", lambda *_: ["127.0.0.2", "127.0.0.1"])  # at the first, nobody listens
    check_destination(f"{server.url}/out.mp4", 1)


def test_a_download_goes_on_where_it_broke_off(server: SshServer, source: Path):
    (server.folder / "in.mp4").write_bytes(source.read_bytes())
    assert b"".join(fs.read(f"{server.url}/in.mp4", 4 * MIB, 9 * MIB, HERE)) == source.read_bytes()[4 * MIB :]


def test_a_workspace_there_keeps_files_and_records(server: SshServer):
    workspace = Workspace.at(f"{server.url}/work")
    path = workspace.path("ab" * 32, "render", "x.mkv")
    path.write_text("frames")
    kept = workspace.keep(path)
    path.unlink()
    fetch(kept)
    assert path.read_text() == "frames"
    fs.write_text("record", f"{workspace.mirror}/results/key")
    assert (server.folder / "work" / "results" / "key").read_text() == "record"


def test_a_lost_connection_leaves_the_old_file_and_the_next_try_nothing_else(
    server: SshServer, source: Path, old: Path
):
    server.breaks_after_bytes = 2 * MIB
    with pytest.raises(TransientError, match=r"out\.mp4: .*; check the address"):
        publish(source, f"{server.url}/out.mp4", DISK)
    part, kept = names(server)  # as after kill -9
    assert (kept, old.read_bytes()) == ("out.mp4", b"old")
    assert re.fullmatch(r"\.out\.mp4\.[0-9a-f]{8}\.part", part)
    publish(source, f"{server.url}/out.mp4", DISK)
    assert names(server) == ["out.mp4"]
    assert old.read_bytes() == source.read_bytes()


def test_a_full_disk_there_leaves_the_old_file_alone(server: SshServer, source: Path, old: Path):
    server.full_after_bytes = 5 * MIB
    with pytest.raises(TransientError, match=r"out\.mp4: .*'Failure', as when its disk is full"):
        publish(source, f"{server.url}/out.mp4", DISK)
    assert (names(server), old.read_bytes()) == (["out.mp4"], b"old")


def test_a_folder_is_neither_input_nor_output(server: SshServer, tmp_path: Path):
    (server.folder / "clips").mkdir()
    with pytest.raises(InputError, match=r"clips is a directory: name a file in it"):
        check_destination(f"{server.url}/clips", 1)
    with pytest.raises(UnusableFile, match=r"clips: is a directory; give one file"):
        download(f"{server.url}/clips", tmp_path / "x", HERE)


def test_a_fifo_there_is_no_file(server: SshServer, tmp_path: Path):
    os.mkfifo(server.folder / "pipe.mp4")
    assert fs.list_files(server.url + "/") == []
    with pytest.raises(UnusableFile, match=r"pipe\.mp4: is a special file"):
        download(f"{server.url}/pipe.mp4", tmp_path / "x", HERE)


def test_a_wrong_password_is_the_users_and_is_not_told(server: SshServer):
    with pytest.raises(
        InputError, match=rf"^sftp://{server.address}/out\.mp4: the server refuses user, password or key"
    ):
        check_destination(server.url.replace(QUOTED, "wrong") + "/out.mp4", 1)


@pytest.mark.parametrize("password", ["pa/ss", "pa?ss", "pa#ss"])
def test_a_password_that_is_not_quoted_is_refused_and_is_not_told(server: SshServer, password: str):
    with pytest.raises(InputError, match=r"write %2F for /") as told:
        check_destination(server.url.replace(QUOTED, password) + "/out.mp4", 1)
    assert "pa" not in str(told.value).partition(": ")[0]


@pytest.mark.parametrize(
    ("line", "told"), [("", "is not in ~/.ssh/known_hosts"), ("{} {} {}\n", "the server has another key")]
)
def test_no_password_goes_to_a_server_that_is_not_known(server: SshServer, tmp_path: Path, line: str, told: str):
    port, key = server.address.rpartition(":")[2], paramiko.ECDSAKey.generate()
    known = line.format(f"[127.0.0.1]:{port}", key.get_name(), key.get_base64())
    (tmp_path / "home" / ".ssh" / "known_hosts").write_text(known)
    with pytest.raises(InputError, match=told):
        check_destination(f"{server.url}/out.mp4", 1)
