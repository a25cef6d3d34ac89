"""The command as a user calls it: exit codes, messages without tracebacks, what was there stays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import pytest
from prefect.settings import PREFECT_API_URL

from tests.conftest import Clip
from tests.unit.engines.diffusion.weights_on_disk import write_tiny_weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lipsync(prefect_server: None):
    """Run the installed command: (exit code, everything it printed)."""
    command = Path(sys.executable).with_name("lipsync")
    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "COLUMNS": "200"}
    environment.pop("PREFECT_LOGGING_LEVEL", None)

    def run(*arguments: object, **variables: str) -> tuple[int, str]:
        ended = subprocess.run(
            [command, *map(str, arguments)], env=environment | variables, capture_output=True, text=True, check=False
        )
        return ended.returncode, ended.stdout + ended.stderr

    return run


def test_a_whole_job_with_latentsync_weights_on_the_cpu(clip: Clip, tmp_path: Path, lipsync) -> None:
    weights, report = write_tiny_weights(tmp_path / "weights"), tmp_path / "report.json"
    code, printed = lipsync(
        "sync", clip.video, clip.voice, "-o", tmp_path / "out.mp4", "--engine", "latentsync", "--weights", weights,
        "--device", "cpu", "--steps", 2, "--segment-seconds", 3, "--work-dir", tmp_path / "work", "--report", report,
    )  # fmt: skip
    assert code == 0, printed
    told = json.loads(report.read_text())
    assert (told["frames"], told["fps"], told["width"], told["height"]) == (230, "25/1", 640, 640)
    assert told["engine"] == "latentsync"
    assert len(told["segments"]) == 3
    assert set(told["stages"]) == {
        "probe",
        "voice",
        "faces",
        "track",
        "plan",
        "generate",
        "render",
        "score",
        "join",
        "publish",
    }
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert sum(1 for packet in file.demux(video=0) if packet.size) == 230


def _text_file(folder: Path, clip: Clip) -> tuple[Path, Path]:
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    return folder / "text.mp4", clip.voice


def _missing(folder: Path, clip: Clip) -> tuple[Path, Path]:
    return folder / "missing.mp4", clip.voice


def _truncated(folder: Path, clip: Clip) -> tuple[Path, Path]:
    whole = clip.video.read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    return folder / "truncated.mp4", clip.voice


def _empty_audio(folder: Path, clip: Clip) -> tuple[Path, Path]:
    (folder / "empty.wav").touch()
    return clip.video, folder / "empty.wav"


def _no_face(folder: Path, clip: Clip) -> tuple[Path, Path]:
    from tests.synthetic import make_video

    return make_video(folder / "nobody.mp4", 75, 25), clip.voice


@pytest.mark.parametrize(
    ("inputs", "named", "fact"),
    [
        (_missing, "missing.mp4", "no such file"),
        (_text_file, "text.mp4", "no media file"),
        (_truncated, "truncated.mp4", "truncated"),
        (_empty_audio, "empty.wav", "0 bytes"),
        (_no_face, "nobody.mp4", "face"),
    ],
)
def test_bad_input_is_refused_by_name_and_fact(
    inputs, named: str, fact: str, clip: Clip, tmp_path: Path, lipsync
) -> None:
    video, voice = inputs(tmp_path, clip)
    output = tmp_path / "out.mp4"
    output.write_text("what was there")
    code, printed = lipsync("sync", video, voice, "-o", output, "--work-dir", tmp_path / "work")
    words = " ".join(printed.split())
    assert code == 2, printed
    assert named in words.replace(" ", "") or named in words
    assert fact in words
    assert "Traceback" not in printed
    assert output.read_text() == "what was there"
    assert not list((tmp_path / "work").glob("*/render/*"))


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("-o", "/proc/out.mp4"), "/proc/out.mp4"),
        (("-o", "OUT", "--crf", "99"), "less than or equal to 51"),
        (("-o", "OUT", "--engine", "latentsync"), "--weights"),
        (("-o", "OUT", "--engine", "latentsync-1.6"), "--weights"),
        (("-o", "OUT", "--engine", "latentsync-1.6", "--weights", "/nowhere", "--device", "cpu"), "/nowhere"),
        (("-o", "/tmp/out.webm"), ".webm files cannot be written"),
        (("-o", "VIDEO"), "would be overwritten"),
        (("-o", "OUT", "--report", "VIDEO"), "report"),
        (("-o", "OUT", "--report", "https://example.com/r.json"), "can only be read"),
        (("-o", "OUT", "--report-dir", "/proc/report"), "/proc/report"),
        (("-o", "OUT", "--config", "CONFIG"), "a group of settings is expected"),
        (("-o", "OUT", "--engine", "magic"), "latentsync-1.6"),
        (("-o", "OUT", "--disk-profile", "../engines/warp"), "is unknown"),
        (("-o", "OUT", "--disk-profile", "floppy"), "known are autopl, pl0, pl1, ssd"),
        (("-o", "OUT", "--runner", "dask"), "dask_address"),
    ],
)
def test_bad_settings_are_refused(arguments: tuple[str, ...], fact: str, clip: Clip, tmp_path: Path, lipsync) -> None:
    (tmp_path / "config.yaml").write_text("engine: warp")
    places = {"OUT": tmp_path / "out.mp4", "VIDEO": clip.video, "CONFIG": tmp_path / "config.yaml"}
    given = [places.get(argument, argument) for argument in arguments]
    code, printed = lipsync("sync", clip.video, clip.voice, *given, "--work-dir", tmp_path / "work")
    assert code == 2, printed
    assert fact in " ".join(printed.split())
    assert "Traceback" not in printed
    assert not (tmp_path / "out.mp4").exists()
    assert not list((tmp_path / "work").glob("*/faces/*"))


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("-o", "/tmp/out.webm"), ".webm files"),
        (("-o", "VIDEO"), "would be overwritten"),
        (("-o", "OUT"), "no such file"),
    ],
)
def test_a_bad_request_is_refused_before_any_server_is_asked(
    arguments: tuple[str, ...], fact: str, clip: Clip, tmp_path: Path, lipsync
) -> None:
    voice = tmp_path / "missing.wav" if "OUT" in arguments else clip.voice
    places = {"OUT": tmp_path / "out.mp4", "VIDEO": clip.video}
    given = [places.get(argument, argument) for argument in arguments]
    code, printed = lipsync("sync", clip.video, voice, *given, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert code == 2, printed
    assert fact in " ".join(printed.split())


def test_a_server_that_does_not_answer_is_told_in_one_line(clip: Clip, tmp_path: Path, lipsync) -> None:
    job = ("sync", clip.video, clip.voice, "-o", tmp_path / "out.mp4", "--work-dir", tmp_path / "work")
    code, printed = lipsync(*job, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert code == 1
    assert "Prefect's server does not answer" in " ".join(printed.split())
    assert "Traceback" not in printed


def test_names_in_brackets_are_told_as_they_are(clip: Clip, tmp_path: Path, lipsync) -> None:
    code, printed = lipsync("probe", tmp_path / "talk[final].mp4")
    assert code == 2
    assert "talk[final].mp4" in "".join(printed.split())


def test_probe_says_what_a_file_is(clip: Clip, lipsync) -> None:
    code, printed = lipsync("probe", clip.video)
    assert code == 0
    assert "640x640, 25 frames/s, 250 frames" in printed


def test_a_segment_number_that_is_none_is_refused(clip: Clip, tmp_path: Path, lipsync) -> None:
    code, printed = lipsync("sync", clip.video, clip.voice, "-o", tmp_path / "o.mp4", "--force-segments", "one")
    assert code == 2
    assert "give segment numbers such as 3,7" in " ".join(printed.split())
