"""An output is finished only while it, its inputs and its settings are those that were recorded."""

import os
from pathlib import Path

import pytest

from latentsync.publishing.finished import is_finished, made_from, reject, remember_finished, why_rejected
from latentsync.settings import EncodeSettings, RunSettings, Settings


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    for name in ("video", "audio", "output"):
        (tmp_path / name).write_text(name)
    return {name: str(tmp_path / name) for name in ("video", "audio", "output")}


def finished(root: Path, files: dict[str, str], settings: Settings = Settings()) -> bool:
    return is_finished(root, files["output"], made_from(files["video"], files["audio"], settings))


def test_a_finished_output_is_known_again(tmp_path: Path, files: dict[str, str]) -> None:
    assert not finished(tmp_path, files)
    remember_finished(tmp_path, files["output"], made_from(files["video"], files["audio"], Settings()))
    assert finished(tmp_path, files)
    assert finished(tmp_path, files, Settings(run=RunSettings(workers=3)))  # changes nothing in the output


@pytest.mark.parametrize("changed", ["video", "audio", "output"])
def test_a_changed_or_lost_file_is_work_again(tmp_path: Path, files: dict[str, str], changed: str) -> None:
    remember_finished(tmp_path, files["output"], made_from(files["video"], files["audio"], Settings()))
    os.utime(files[changed], ns=(0, 1))
    assert not finished(tmp_path, files)
    Path(files[changed]).unlink()
    assert not finished(tmp_path, files)


def test_other_settings_are_work_again(tmp_path: Path, files: dict[str, str]) -> None:
    remember_finished(tmp_path, files["output"], made_from(files["video"], files["audio"], Settings()))
    assert not finished(tmp_path, files, Settings(encode=EncodeSettings(crf=20)))


def test_an_output_that_never_came_is_not_finished(tmp_path: Path, files: dict[str, str]) -> None:
    Path(files["output"]).unlink()
    remember_finished(tmp_path, files["output"], made_from(files["video"], files["audio"], Settings()))
    assert not finished(tmp_path, files)


def test_a_damaged_record_is_work_again(tmp_path: Path, files: dict[str, str]) -> None:
    remember_finished(tmp_path, files["output"], made_from(files["video"], files["audio"], Settings()))
    (record,) = (tmp_path / "finished").iterdir()
    record.write_text("{")
    assert not finished(tmp_path, files)


def test_what_cannot_be_made_is_known_until_its_files_or_settings_change(tmp_path: Path, files: dict[str, str]) -> None:
    def why(settings: Settings = Settings()) -> str:
        return why_rejected(tmp_path, files["output"], made_from(files["video"], files["audio"], settings))

    assert not why()
    reject(tmp_path, files["output"], made_from(files["video"], files["audio"], Settings()), "there is no face")
    assert why() == "there is no face"
    assert not why(Settings(encode=EncodeSettings(crf=20)))
    os.utime(files["video"], ns=(0, 1))
    assert not why()


def test_a_planted_fifo_is_not_waited_for(tmp_path: Path, files: dict[str, str]) -> None:
    source = made_from(files["video"], files["audio"], Settings())
    remember_finished(tmp_path, files["output"], source)
    reject(tmp_path, files["output"], source, "no face")
    for record in [*tmp_path.glob("finished/*"), *tmp_path.glob("rejected/*")]:
        record.unlink()
        os.mkfifo(record)
    assert not finished(tmp_path, files)
    assert not why_rejected(tmp_path, files["output"], source)
