import threading
from pathlib import Path

import pytest

from latentsync.records import Artefact
from latentsync.workspace import Workspace


def _write_half_and_fail(path: Path) -> None:
    path.write_text("half")
    raise ZeroDivisionError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    workspace = Workspace.at(str(tmp_path))
    path = workspace.path("ab" * 32, "render", "x.mkv")
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), workspace.writing(path) as temporary:
        _write_half_and_fail(temporary)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_finished_write_appears_whole(tmp_path: Path) -> None:
    workspace = Workspace.at(str(tmp_path))
    path = workspace.path("ab" * 32, "render", "x.mkv")
    with workspace.writing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"


def test_the_second_who_wants_a_file_waits_and_is_told_that_it_was_made(tmp_path: Path) -> None:
    workspace, told = Workspace.at(str(tmp_path)), []
    path = tmp_path / "x"
    second_waits = threading.Event()

    def second() -> None:
        second_waits.set()
        with workspace.once(path) as made_meanwhile:
            told.append(made_meanwhile)

    with workspace.once(path) as made_meanwhile:
        assert not made_meanwhile
        thread = threading.Thread(target=second)
        thread.start()
        second_waits.wait()
        thread.join(timeout=0.2)
        assert thread.is_alive()  # held by the lock
        path.write_text("made")
    thread.join()
    assert told == [True]


def test_a_file_that_was_there_before_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("stale")
    with Workspace.at(str(tmp_path)).once(path) as made_meanwhile:
        assert not made_meanwhile


def test_a_remote_workspace_keeps_a_copy_that_another_machine_fetches(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    workspace = Workspace.at(f"local://{tmp_path}/bucket")
    path = workspace.path("ab" * 32, "render", "x.mkv")
    with workspace.writing(path) as temporary:
        temporary.write_text("frames")
    kept = workspace.keep(path)
    path.unlink()
    assert Artefact.model_validate_json(kept.model_dump_json()).path.read_text() == "frames"
