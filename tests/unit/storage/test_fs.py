"""Remote destinations, on fsspec's own in-memory file system."""

import os
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from latentsync.errors import InputError, TransientError
from latentsync.publishing.writer import check_destination, publish
from latentsync.storage.download import fetch
from latentsync.storage.fs import UrlLimits, list_files, read
from latentsync.storage.throttle import MIB, DiskProfile
from latentsync.storage.workspace import Workspace

DISK = DiskProfile(write_mb_per_second=1e3, writes_per_second=1e9, chunk_mib=1)


@pytest.fixture
def url():
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/final.mp4", b"old")
    yield "memory://bucket/final.mp4"
    memory.rm("/bucket", recursive=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "joined.mp4"
    path.write_bytes(os.urandom(3 * MIB + 1))
    return path


def stored(url: str) -> dict[str, bytes]:
    memory = fsspec.filesystem("memory")
    return {path: memory.cat_file(path) for path in memory.find("/bucket")}


def test_the_object_becomes_the_source(url, source):
    result = publish(source, url, DISK)
    assert stored(url) == {"/bucket/final.mp4": source.read_bytes()}
    assert (result.destination, result.size_bytes) == (url, 3 * MIB + 1)


def test_a_failure_midway_leaves_the_old_object(url, source):
    waits = []

    def unplug(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise ConnectionResetError("unplugged")

    with pytest.raises(TransientError, match=r"final\.mp4: unplugged; check the address"):
        publish(source, url, DISK, clock=lambda: 0.0, sleep=unplug)
    assert stored(url) == {"/bucket/final.mp4": b"old"}


def test_the_check_leaves_nothing_behind(url):
    check_destination(url, needed_bytes=1)
    assert stored(url) == {"/bucket/final.mp4": b"old"}


class OverSsh(MemoryFileSystem):
    """A file system behind sftp:// that is there without a server."""

    protocol = "sftp"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.partition("://")[2].partition("/")[2] if "://" in path else path


def test_a_private_server_takes_outputs_and_workspace_and_gives_what_is_allowed(source, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fsspec.register_implementation("sftp", OverSsh, clobber=True)
    try:
        publish(source, url := "sftp://127.0.0.1/out/final.mp4", DISK)
        kept = Workspace.at("sftp://127.0.0.1/work").keep(_work_file("sftp://127.0.0.1/work"))
        kept.path.unlink()
        fetch(kept)
        assert kept.path.read_text() == "frames"
        assert list_files("sftp://127.0.0.1/out") == [url]
        with pytest.raises(InputError, match=r"set run\.allow_private_urls to allow it"):
            list(read(url, 0, MIB))
        assert list(read(url, 0, MIB, UrlLimits(allow_private=True)))
    finally:
        fsspec.register_implementation("sftp", "fsspec.implementations.sftp.SFTPFileSystem", clobber=True)
        for folder in ("/out", "/work"):
            fsspec.filesystem("memory").rm(folder, recursive=True)


def _work_file(workspace: str) -> Path:
    path = Workspace.at(workspace).path("ab" * 32, "render", "x.mkv")
    path.write_text("frames")
    return path


def test_an_unknown_kind_of_url_is_refused():
    with pytest.raises(InputError, match=r"carrier-pigeon://coop/a\.mp4: this kind of URL cannot be used"):
        check_destination("carrier-pigeon://coop/a.mp4", needed_bytes=0)
