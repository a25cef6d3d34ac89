"""Locations: which are taken, which are one file, and what of them is shown."""

import os
from pathlib import Path

import pytest

from latentsync.errors import InputError
from latentsync.storage.locations import is_inside, normalised, same_file, shown


@pytest.mark.parametrize(
    ("location", "folder", "normal"),
    [
        ("/a/b.mp4", "", "/a/b.mp4"),
        ("b.mp4", "/a", "/a/b.mp4"),
        ("b.mp4", "s3://bucket/in/", "s3://bucket/in/b.mp4"),
        ("/b.mp4", "s3://bucket/in/", "/b.mp4"),
        ("file:///a/b.mp4", "s3://bucket", "/a/b.mp4"),
        ("FILE://localhost/a/b.mp4", "", "/a/b.mp4"),
        ("S3://bucket/B.mp4", "/a", "s3://bucket/B.mp4"),
        ("gcs://bucket/b.mp4", "", "gs://bucket/b.mp4"),
        ("a::b.mp4", "/a", "/a/a::b.mp4"),
    ],
)
def test_a_location_is_normalised(location: str, folder: str, normal: str) -> None:
    assert normalised(location, folder) == normal


@pytest.mark.parametrize(
    "location",
    [
        "local:///etc/passwd",
        "simplecache::file:///etc/passwd",
        "dir://..::file:///etc/passwd",
        "s3://bucket/x::file:///etc/passwd",
        "zip://a.mp4::/tmp/x.zip",
        "github://o:r@/x",
        "data://x",
        "file://otherhost/etc/passwd",
        "http://",
        "https://host/\r\nx",
        "",
        "a\0b",
        "/tmp/\udcff.mp4",
    ],
)
def test_what_could_lead_to_another_file_is_refused(location: str) -> None:
    with pytest.raises(InputError, match=r"cannot be used|another machine|no complete URL|no name of a file|not UTF-8"):
        normalised(location)


def test_one_file_by_any_name_is_one_file(tmp_path: Path) -> None:
    video = tmp_path / "in.mp4"
    video.touch()
    (tmp_path / "link.mp4").symlink_to(video)
    (tmp_path / "folder").symlink_to(tmp_path)
    os.link(video, tmp_path / "hard.mp4")
    for other in ("link.mp4", "hard.mp4", "folder/in.mp4", "folder/../" + tmp_path.name + "/in.mp4"):
        assert same_file(str(video), str(tmp_path / other))
    assert same_file(f"file://{video}", str(video))
    assert same_file(str(tmp_path / "new.mp4"), f"{tmp_path}/folder/new.mp4")
    assert same_file("s3://b/k.mp4", "S3://b/k.mp4?versionId=1")
    assert not same_file(str(video), str(tmp_path / "new.mp4"))
    assert not same_file("s3://b/k.mp4", "s3://b/l.mp4")


def test_what_lies_inside_a_folder(tmp_path: Path) -> None:
    assert is_inside(f"{tmp_path}/a/b.mp4", str(tmp_path))
    assert not is_inside(f"{tmp_path}/../b.mp4", str(tmp_path))
    assert not is_inside(f"{tmp_path}x/b.mp4", str(tmp_path))
    assert is_inside("s3://b/out/k.mp4", "s3://b/out")
    assert not is_inside("s3://b/out/../k.mp4", "s3://b/out")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("https://b.s3.amazonaws.com/k.mp4?X-Amz-Signature=secret", "https://b.s3.amazonaws.com/k.mp4?..."),
        ("sftp://user:secret@host/k.mp4", "sftp://host/k.mp4"),
        ("https://user:sec/ret@host/k.mp4", "https://host/k.mp4"),
        ("sftp://user:p@sec/ret@host/k.mp4", "sftp://host/k.mp4"),
        ("s3://bucket/a@2x.mp4", "s3://bucket/a@2x.mp4"),
        ("http://host:8080/k.mp4", "http://host:8080/k.mp4"),
        ("403, url='https://u:secret@h/k?sig=secret' said no", "403, url='https://h/k?...' said no"),
        ("https://h/k#access_token=secret", "https://h/k?..."),
    ],
)
def test_secrets_are_not_shown(text: str, safe: str) -> None:
    assert shown(text) == safe
    assert "secret" not in shown(text)
    assert "sec/ret" not in shown(text)


@pytest.mark.parametrize("password", ["sec ret", "se'cret", 'sec"ret', "sec<ret", "s/ec ret"])
def test_a_password_that_no_message_could_hide_is_refused(password: str) -> None:
    with pytest.raises(InputError, match="%20") as raised:
        normalised(f"https://user:{password}@host/k.mp4")
    assert "ret" not in str(raised.value)


def test_an_endless_name_is_cut() -> None:
    assert len(shown("/" + "x" * 5000)) < 400
