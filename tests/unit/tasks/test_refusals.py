"""What is refused before anything is decoded."""

import os
from pathlib import Path

import pytest

from latentsync.errors import InputError
from latentsync.review import files
from latentsync.settings import MarkSettings, RunSettings, Settings
from tasks.refusals import refuse_at_once, refuse_bad_page, refuse_bad_report, refuse_bad_request


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    for name in ("in.mp4", "voice.wav", "other.mp4"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftyp")
    (tmp_path / "link.mp4").symlink_to("in.mp4")
    os.link(tmp_path / "in.mp4", tmp_path / "hard.mp4")
    return {"video": f"{tmp_path}/in.mp4", "audio": f"{tmp_path}/voice.wav", "output": f"{tmp_path}/out.mp4"}


@pytest.mark.parametrize("name", ["in.mp4", "voice.wav", "link.mp4", "hard.mp4", "out.mp4", "other.mp4"])
def test_a_report_takes_the_place_of_nothing_but_a_report(name: str, job: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"would (be overwritten|overwrite a file that is no report)"):
        refuse_bad_report(f"{tmp_path}/{name}", **job)


def test_a_report_may_be_written_again(job: dict[str, str], tmp_path: Path) -> None:
    refuse_bad_report(f"{tmp_path}/report.json", **job)
    (tmp_path / "report.json").write_text('{"frames": 1}')
    refuse_bad_report(f"{tmp_path}/report.json", **job)


@pytest.mark.parametrize("name", ["in.mp4", "voice.wav", "link.mp4", "hard.mp4", "other.mp4"])
def test_a_page_takes_the_place_of_nothing_but_a_page(name: str, job: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"would (be overwritten|overwrite a file that is no page)"):
        refuse_bad_page(f"{tmp_path}/{name}", job["video"], job["audio"])


def in_folder(job: dict[str, str], tmp_path: Path) -> None:
    refuse_at_once(**job, settings=Settings(run=RunSettings(report_dir=str(tmp_path))))


OVER = [(name, what) for name in files.ALL for what in ("video", "audio")] + [(film, "output") for film in files.FILMS]


@pytest.mark.parametrize(("name", "what"), OVER)
def test_a_folder_of_a_report_overwrites_nothing_of_the_job(
    name: str, what: str, job: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / files.SHEET).touch()  # as if there had been a report before
    (tmp_path / name).write_bytes(b"film")
    with pytest.raises(InputError, match=f"{name} is the {what} and would be overwritten"):
        in_folder({**job, what: f"{tmp_path}/{name}"}, tmp_path)


def test_nor_another_film_but_that_of_an_earlier_report(job: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "source.mp4").touch()
    with pytest.raises(InputError, match=r"has a source\.mp4 that is no report's; choose another folder"):
        in_folder(job, tmp_path)
    (tmp_path / files.SHEET).touch()
    in_folder(job, tmp_path)


@pytest.mark.parametrize("output", ["in.mp4", "link.mp4", "hard.mp4"])
def test_an_output_that_is_an_input_is_refused_by_any_name(output: str, job: dict[str, str], tmp_path: Path) -> None:
    job["output"] = f"{tmp_path}/{output}"
    with pytest.raises(InputError, match="is one of the inputs and would be overwritten"):
        refuse_bad_request(**job, settings=Settings())


@pytest.mark.parametrize("output", ["local://{folder}/in.mp4", "simplecache::file://{folder}/in.mp4"])
def test_no_url_leads_back_to_a_file_of_this_machine(output: str, job: dict[str, str], tmp_path: Path) -> None:
    job["output"] = output.format(folder=tmp_path)
    with pytest.raises(InputError, match="this kind of URL cannot be used"):
        refuse_bad_request(**job, settings=Settings())


@pytest.mark.parametrize("output", ["loop/out.mp4", "x" * 5000 + ".mp4", "in.mp4/out.mp4", "https://host/out.mp4"])
def test_an_output_that_cannot_be_is_the_users_error(output: str, job: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    job["output"] = output if "://" in output else f"{tmp_path}/{output}"
    with pytest.raises(InputError) as raised:
        refuse_bad_request(**job, settings=Settings())
    assert len(str(raised.value)) < 500


def test_a_required_signature_without_a_key_is_refused_before_any_work(job: dict[str, str]) -> None:
    settings = Settings(mark=MarkSettings(required=True))
    with pytest.raises(InputError, match=r"mark\.required is set: give mark\.certificate and mark\.key"):
        refuse_bad_request(**job, settings=settings)
