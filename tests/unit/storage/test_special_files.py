"""Devices, FIFOs, sockets and folders are never replaced by a file, nor is anything written through them."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from latentsync.errors import InputError
from latentsync.publishing.outcomes import Outcome, Outcomes
from latentsync.publishing.report import Report, write_report
from latentsync.publishing.writer import check_destination, publish
from latentsync.storage.atomic import whole_file
from latentsync.storage.throttle import DiskProfile

DISK = DiskProfile(write_mb_per_second=1e6, writes_per_second=1e9)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def _device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # a second /dev/null


def _link(path: Path) -> None:
    os.mkfifo(path.with_name("target"))
    path.symlink_to("target")


KINDS = {"FIFO": os.mkfifo, "socket": _socket, "folder": os.mkdir, "FIFO behind a link": _link}
if os.geteuid() == 0:  # nobody else may make one
    KINDS["device"] = _device


@pytest.fixture(params=KINDS)
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    KINDS[request.param](path := tmp_path / "out")
    return path


def _published(path: Path) -> None:
    source = path.with_name("source")
    source.write_bytes(b"new")
    publish(source, path, DISK)


def _reported(path: Path) -> None:
    write_report(Report.model_construct(), str(path))


WRITERS: dict[str, Callable[[Path], None]] = {"publish": _published, "report": _reported}


def _as_it_is(path: Path) -> tuple[int, ...]:
    """All that a write would change; not when it was last looked at."""
    state = os.lstat(path)
    return state.st_dev, state.st_ino, state.st_mode, state.st_size, state.st_mtime_ns


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_is_no_file_is_not_replaced(write: Callable[[Path], None], special: Path) -> None:
    before = _as_it_is(special)
    with pytest.raises(InputError, match=r"(out|target) is a (FIFO|socket|folder|device): name a file"):
        write(special)
    assert _as_it_is(special) == before
    assert not [path for path in special.parent.iterdir() if path.suffix == ".part"]


def test_it_is_refused_before_the_work_too(special: Path) -> None:
    with pytest.raises(InputError, match="name a file"):
        check_destination(special, 0)


def test_a_table_does_not_replace_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "outcomes.csv")
    with pytest.raises(InputError, match="is a FIFO"):
        Outcomes(str(path)).add(Outcome(pair="a", state="made"))
    assert stat.S_ISFIFO(os.lstat(path).st_mode)


def test_a_fifo_that_comes_while_a_file_is_written_stays(tmp_path: Path) -> None:
    out = tmp_path / "clip.mkv"
    with pytest.raises(InputError, match="is a FIFO"), whole_file(out):
        os.mkfifo(out)
    assert stat.S_ISFIFO(os.lstat(out).st_mode)
    assert list(tmp_path.iterdir()) == [out]


def test_work_is_for_its_owner_and_outputs_are_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with whole_file(tmp_path / "work") as part:
            part.write_bytes(b"x")
        _published(tmp_path / "out.mp4")
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert (modes["work"], modes["out.mp4"]) == ("0o600", "0o644")
