import errno
from pathlib import Path

import pytest

from latentsync.errors import TransientError
from latentsync.storage.atomic import leftovers, whole_file, write_whole


def fail(out: Path, error: BaseException) -> None:
    with whole_file(out) as part:
        part.write_text("half")
        raise error


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "clip.mkv"
    with whole_file(out) as part:
        part.write_text("new")
        assert (part.parent, part.name[0], part.suffix) == (tmp_path, ".", ".mkv")
        assert not out.exists()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ValueError(), ValueError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(errno.EIO, "?"), OSError),
        (OSError(errno.ENOSPC, "?"), TransientError),
    ],
)
def test_a_failure_leaves_the_old_file_alone(tmp_path: Path, error: BaseException, raised: type) -> None:
    out = tmp_path / "clip.mkv"
    out.write_text("old")
    with pytest.raises(raised):
        fail(out, error)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_name_of_the_greatest_length_leaves_room_for_the_temporary_one(tmp_path: Path) -> None:
    out = tmp_path / ("語" * 84 + ".mp")
    write_whole(out, b"x")
    assert out.read_bytes() == b"x"


def test_write_whole_makes_the_folder(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b.json", b"{}")
    assert (tmp_path / "a" / "b.json").read_bytes() == b"{}"


def test_leftovers_are_those_of_this_file_only(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with whole_file(out) as part, whole_file(part) as inner:
        inner.touch()
        part.touch()
        left = {part, inner}
        assert set(leftovers(out)) == left
        for name in (".out.mp4.part.mp4", ".other.mp4.0123abcd.part.mp4", "out.mp4.0123abcd.part.mp4", ".out.mp4.lock"):
            (tmp_path / name).touch()
        assert set(leftovers(out)) == left
