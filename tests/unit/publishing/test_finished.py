"""An output is finished only while it, its inputs and its settings are those that were recorded."""

import os
from pathlib import Path

import fsspec
import pytest

from latentsync.publishing.finished import find_finished, find_rejected, made_from, reject, remember_finished
from latentsync.settings import EncodeSettings, RunSettings, Settings


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    for name in ("video", "audio", "output"):
        (tmp_path / name).write_text(name)
    return {name: str(tmp_path / name) for name in ("video", "audio", "output")}


def finished(root: Path, files: dict[str, str], settings: Settings = Settings()) -> bool:
    record = find_finished(root, files["output"], made_from(files["video"], files["audio"], settings))
    assert record is None or record.run_id == "r"
    return record is not None


def test_a_finished_output_is_known_again(tmp_path: Path, files: dict[str, str]) -> None:
    assert not finished(tmp_path, files)
    remember_finished(tmp_path, files["output"], made_from(files["video"], files["audio"], Settings()), "r")
    assert finished(tmp_path, files)
    assert finished(tmp_path, files, Settings(run=RunSettings(workers=3)))  # changes nothing in the output


def test_a_record_tells_no_password(tmp_path: Path, files: dict[str, str]) -> None:
    memory, output = fsspec.filesystem("memory"), "memory://me:secret@host/out.mp4"
    memory.pipe_file("/me:secret@host/out.mp4", b"x")
    try:
        remember_finished(tmp_path, output, made_from(files["video"], files["audio"], Settings()), "r")
        assert finished(tmp_path, {**files, "output": output})
    finally:
        memory.rm("/me:secret@host", recursive=True)
    assert [path for path in (tmp_path / "finished").iterdir() if "secret" in path.read_text()] == []


@pytest.mark.parametrize("changed", ["video", "audio", "output"])
def test_a_changed_or_lost_file_is_work_again(tmp_path: Path, files: dict[str, str], changed: str) -> None:
    remember_finished(tmp_path, files["output"], made_from(files["video"], files["audio"], Settings()), "r")
    os.utime(files[changed], ns=(0, 1))
    assert not finished(tmp_path, files)
    Path(files[changed]).unlink()
    assert not finished(tmp_path, files)


def test_other_settings_are_work_again(tmp_path: Path, files: dict[str, str]) -> None:
    remember_finished(tmp_path, files["output"], made_from(files["video"], files["audio"], Settings()), "r")
    assert not finished(tmp_path, files, Settings(encode=EncodeSettings(crf=20)))


def test_an_output_that_never_came_is_not_finished(tmp_path: Path, files: dict[str, str]) -> None:
    Path(files["output"]).unlink()
    remember_finished(tmp_path, files["output"], made_from(files["video"], files["audio"], Settings()), "r")
    assert not finished(tmp_path, files)


def test_a_damaged_record_is_work_again(tmp_path: Path, files: dict[str, str]) -> None:
    remember_finished(tmp_path, files["output"], made_from(files["video"], files["audio"], Settings()), "r")
    (record,) = (tmp_path / "finished").iterdir()
    record.write_text("{")
    assert not finished(tmp_path, files)


def test_what_cannot_be_made_is_known_until_its_files_or_settings_change(tmp_path: Path, files: dict[str, str]) -> None:
    def why(settings: Settings = Settings()) -> str:
        record = find_rejected(tmp_path, files["output"], made_from(files["video"], files["audio"], settings))
        return f"{record.reason}, says {record.run_id}" if record else ""

    assert not why()
    reject(tmp_path, files["output"], made_from(files["video"], files["audio"], Settings()), "no face", "r")
    assert why() == "no face, says r"
    assert not why(Settings(encode=EncodeSettings(crf=20)))
    os.utime(files["video"], ns=(0, 1))
    assert not why()


def test_a_planted_fifo_is_not_waited_for(tmp_path: Path, files: dict[str, str]) -> None:
    source = made_from(files["video"], files["audio"], Settings())
    remember_finished(tmp_path, files["output"], source, "r")
    reject(tmp_path, files["output"], source, "no face", "r")
    for record in [*tmp_path.glob("finished/*"), *tmp_path.glob("rejected/*")]:
        record.unlink()
        os.mkfifo(record)
    assert not finished(tmp_path, files)
    assert not find_rejected(tmp_path, files["output"], source)
