import threading
from pathlib import Path

import fsspec
import pytest

from latentsync.errors import TransientError
from latentsync.records import Artefact
from latentsync.storage.download import fetch
from latentsync.storage.workspace import Workspace


def test_the_second_who_wants_a_file_waits_and_shares_it(tmp_path: Path) -> None:
    workspace, told = Workspace.at(str(tmp_path)), []
    path = tmp_path / "x"
    second_waits = threading.Event()

    def second() -> None:
        with workspace.once(path, on_wait=second_waits.set) as is_made:
            told.append(is_made)

    with workspace.once(path) as is_made:
        assert not is_made
        thread = threading.Thread(target=second)
        thread.start()
        assert second_waits.wait(10)
        assert told == []
        path.write_text("made")
    thread.join()
    assert told == [True]


@pytest.mark.parametrize("damage", ["longer than it was made", "as long"])
def test_a_file_that_is_not_as_it_was_made_is_made_again(damage: str, tmp_path: Path) -> None:
    workspace, path = Workspace.at(str(tmp_path)), tmp_path / "x"
    with workspace.once(path):
        path.write_text("is good")
    with workspace.once(path) as is_made:
        assert is_made
    path.write_text(damage)
    with workspace.once(path) as is_made:
        assert not is_made


def _fail_halfway(workspace: Workspace, path: Path) -> None:
    with workspace.once(path):
        path.write_text("half")
        raise ZeroDivisionError


def test_a_maker_that_fails_leaves_nothing_to_share(tmp_path: Path) -> None:
    workspace, path = Workspace.at(str(tmp_path)), tmp_path / "x"
    with pytest.raises(ZeroDivisionError):
        _fail_halfway(workspace, path)
    with workspace.once(path) as is_made:
        assert not is_made


def test_who_waits_may_give_up(tmp_path: Path) -> None:
    workspace, path = Workspace.at(str(tmp_path)), tmp_path / "x"

    def give_up() -> None:
        raise TimeoutError

    with workspace.once(path):
        path.write_text("made")
        with pytest.raises(TimeoutError), workspace.once(path, on_wait=give_up):
            pass


def test_a_file_that_was_there_before_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("stale")
    with Workspace.at(str(tmp_path)).once(path) as is_made:
        assert not is_made
        path.write_text("made")


def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artefact:
    """A file of a remote workspace that this machine lacks."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    workspace = Workspace.at(f"memory://{tmp_path}/bucket")
    path = workspace.path("ab" * 32, "render", "x.mkv")
    path.write_text("frames")
    kept = workspace.keep(path)
    path.unlink()
    return kept


def test_a_remote_workspace_keeps_a_copy_that_another_machine_fetches(tmp_path: Path, monkeypatch) -> None:
    kept = elsewhere(tmp_path, monkeypatch)
    fetch(Artefact.model_validate_json(kept.model_dump_json()))
    assert kept.path.read_text() == "frames"


def test_a_folder_on_this_machine_tells_no_password() -> None:
    mine, yours, nobodys = (Workspace.at(f"sftp://{user}host/w") for user in ("me:secret@", "you:secret@", ""))
    assert "secret" not in str(mine.root)
    assert len({mine.root, yours.root, nobodys.root}) == 3
    assert (mine.mirror, nobodys.root.name) == ("sftp://me:secret@host/w", "w")


def test_what_is_dropped_goes_from_the_remote_workspace_too(tmp_path: Path, monkeypatch, caplog) -> None:
    kept = elsewhere(tmp_path, monkeypatch)
    fetch(kept)
    workspace, remote = Workspace.at(f"memory://{tmp_path}/bucket"), fsspec.filesystem("memory")
    assert remote.exists(f"{tmp_path}/bucket/abababababababab/render/x.mkv")
    workspace.drop(kept)
    assert not kept.path.exists()
    assert not remote.exists(f"{tmp_path}/bucket/abababababababab/render/x.mkv")
    workspace.drop(kept)  # and again: there is nothing to say
    assert not caplog.records
    workspace.drop(kept.model_copy(update={"url": "https://bucket.example/x.mkv"}))
    assert "a work file is left" in caplog.text


def test_a_damaged_remote_copy_is_not_kept(tmp_path: Path, monkeypatch) -> None:
    kept = elsewhere(tmp_path, monkeypatch)
    fsspec.filesystem("memory").pipe_file(f"{tmp_path}/bucket/abababababababab/render/x.mkv", b"broken")
    with pytest.raises(TransientError, match="sha256"):
        fetch(kept)
    assert not kept.path.exists()
