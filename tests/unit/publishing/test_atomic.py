from pathlib import Path

import pytest

from latentsync.publishing.atomic import leftovers, replacing, write_whole


def interrupted_halfway(target: Path) -> None:
    with replacing(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def test_an_exception_leaves_the_old_content_and_no_temporary_file(tmp_path: Path):
    target = tmp_path / "report.json"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        interrupted_halfway(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_destination_changes_only_at_the_end(tmp_path: Path):
    target = tmp_path / "report.json"
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
    assert target.read_text() == "new"


def test_write_whole_makes_the_folder(tmp_path: Path):
    write_whole(tmp_path / "a" / "b.json", b"{}")
    assert (tmp_path / "a" / "b.json").read_bytes() == b"{}"


def test_leftovers_are_those_of_this_destination_only(tmp_path: Path):
    for name in (
        ".out.mp4.0123abcd.part",
        ".out.mp4.part",
        ".other.mp4.0123abcd.part",
        "out.mp4.0123abcd.part",
    ):
        (tmp_path / name).touch()
    assert [path.name for path in leftovers(tmp_path / "out.mp4")] == [".out.mp4.0123abcd.part"]
