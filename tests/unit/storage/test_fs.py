"""Remote destinations, on fsspec's own in-memory file system."""

import errno
import os
import sys
from pathlib import Path

import fsspec
import pytest

from latentsync.errors import InputError, TransientError
from latentsync.publishing.writer import check_destination, publish
from latentsync.storage.fs import errors_of
from latentsync.storage.throttle import MIB, DiskProfile

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


def test_a_folder_is_no_place_for_an_object(url):
    with pytest.raises(InputError, match=r"memory://bucket is a directory: name a file in it"):
        check_destination("memory://bucket", needed_bytes=0)


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


@pytest.mark.parametrize(
    ("scheme", "driver"), [("gs", "gcsfs"), ("abfs", "adlfs"), ("s3", "s3fs"), ("sftp", "paramiko")]
)
def test_a_driver_that_is_not_there_is_named_with_its_remedy(scheme, driver, monkeypatch):
    monkeypatch.setitem(sys.modules, driver, None)  # importing it raises ImportError
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)
    for module in ("latentsync.storage.ssh", "fsspec.implementations.sftp"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(InputError, match=rf"{driver}.*pip install -c constraints\.txt '\.\[{scheme}\]'"):
        check_destination(f"{scheme}://somewhere/a.mp4", needed_bytes=0)


class Refused(Exception):
    """As Azure's driver raises: the rest of the text is XML."""

    def __init__(self, status_code: int) -> None:
        super().__init__("no such container\n<Error>...</Error>")
        self.status_code = status_code


@pytest.mark.parametrize(("status", "kind"), [(404, InputError), (403, InputError), (429, TransientError)])
def test_what_a_cloud_refuses_is_told_in_one_line_and_is_the_users_unless_it_passes(status, kind):
    with (
        pytest.raises(kind, match=r"^abfs://box/a\.mp4: Refused: no such container; check"),
        errors_of("abfs://box/a.mp4"),
    ):
        raise Refused(status)


class ClientError(Exception):
    """As botocore raises."""

    def __init__(self, code: str) -> None:
        super().__init__("told by S3")
        self.response = {"Error": {"Code": code}}


@pytest.mark.parametrize(("code", "kind"), [("InvalidBucketName", InputError), ("BadDigest", TransientError)])
def test_a_name_that_s3_does_not_take_is_the_users_but_not_a_damaged_transfer(code, kind):
    with pytest.raises(kind, match=r"s3://My_Bucket/a\.mp4.*told by S3; check"), errors_of("s3://My_Bucket/a.mp4"):
        raise OSError(errno.EINVAL, "told by S3") from ClientError(code)  # as s3fs tells both


def test_an_unknown_kind_of_url_is_refused():
    with pytest.raises(InputError, match=r"carrier-pigeon://coop/a\.mp4: this kind of URL cannot be used"):
        check_destination("carrier-pigeon://coop/a.mp4", needed_bytes=0)
