import errno

import pytest

from latentsync.errors import TransientError
from latentsync.media.atomic import whole_file


def fail(out, error: Exception) -> None:
    with whole_file(out) as part:
        part.write_text("half")
        raise error


def test_a_file_appears_when_it_is_whole(tmp_path):
    out = tmp_path / "clip.mkv"
    with whole_file(out) as part:
        part.write_text("new")
        assert part.suffix == ".mkv"
        assert not out.exists()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [(ValueError(), ValueError), (OSError(errno.EIO, "?"), OSError), (OSError(errno.ENOSPC, "?"), TransientError)],
)
def test_a_failure_leaves_the_old_file_alone(tmp_path, error, raised):
    out = tmp_path / "clip.mkv"
    out.write_text("old")
    with pytest.raises(raised):
        fail(out, error)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
