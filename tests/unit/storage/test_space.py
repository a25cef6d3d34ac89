"""The space of a whole job: by disk, with the figures, and less what is there already."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from latentsync.errors import InputError
from latentsync.storage import space as spaces
from latentsync.storage.space import MIB, Space, check_space

Usage = namedtuple("Usage", "total used free")
SPACE = Space(generate=600 * MIB, render=100 * MIB, join=200 * MIB, publish=100 * MIB)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    mib = {"work": 900, "out": 100}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, mib[Path(path).name] * MIB))
    monkeypatch.setattr(spaces, "nearest", lambda path: path)
    return mib


def check(one_disk: bool, monkeypatch: pytest.MonkeyPatch, output: str = "/out", done_bytes: int = 0) -> None:
    monkeypatch.setattr(spaces, "on_one_disk", lambda *_: one_disk)
    check_space(SPACE, Path("/work"), output, done_bytes)


def test_each_disk_takes_its_part(free: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    check(False, monkeypatch)
    free["out"] -= 1
    with pytest.raises(
        InputError, match=r"/out needs 100 MiB, its disk has 99 MiB free .*generate 600 MiB, render 100"
    ):
        check(False, monkeypatch)
    check(False, monkeypatch, output="s3://bucket/out.mp4")
    free["work"] -= 1
    with pytest.raises(InputError, match=r"/work needs 900 MiB"):
        check(False, monkeypatch, output="s3://bucket/out.mp4")


def test_one_disk_takes_all_of_it_less_what_is_there(free: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"/work needs 1,000 MiB, its disk has 900 MiB free"):
        check(True, monkeypatch)
    check(True, monkeypatch, done_bytes=100 * MIB)
