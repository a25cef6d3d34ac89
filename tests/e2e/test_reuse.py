"""What another job, or another run at the same time, takes from what is done."""

import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from prefect.settings import PREFECT_API_URL

from tests.conftest import Clip
from tests.e2e.jobs import made, run

ROOT = Path(__file__).parents[2]
SOURCE = "[0-9a-f]" * 16  # folder of a source in a workspace
SHORT = {"segment_seconds": 1}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


def with_another_sentence(voice: Path, out: Path, start_seconds: float, end_seconds: float) -> Path:
    """The same recording with a part of it reversed: as loud as before, other words."""
    with wave.open(str(voice)) as file:
        parameters, samples = file.getparams(), np.frombuffer(file.readframes(file.getnframes()), np.int16).copy()
    first, last = (int(seconds * parameters.framerate) for seconds in (start_seconds, end_seconds))
    samples[first:last] = samples[first:last][::-1]
    with wave.open(str(out), "wb") as file:
        file.setparams(parameters)
        file.writeframes(samples.tobytes())
    return out


def test_another_sentence_makes_only_the_segments_that_hear_it(clip: Clip, work_dir: Path, tmp_path: Path) -> None:
    run(clip, work_dir, tmp_path / "first.mp4")
    other = Clip(clip.video, with_another_sentence(clip.voice, tmp_path / "other.wav", 5.0, 5.4))
    report = run(other, work_dir, tmp_path / "other.mp4")
    hears_it = [segment.index for segment in report.segments if segment.start <= 125 and segment.end >= 135]
    assert len(hears_it) == 1
    assert made(report, "generate") == hears_it


def test_the_same_files_elsewhere_are_the_same_work(clip: Clip, work_dir: Path, tmp_path: Path) -> None:
    run(clip, work_dir, tmp_path / "first.mp4")
    copy = Clip(tmp_path / "film.mp4", tmp_path / "speech.wav")
    copy.video.write_bytes(clip.video.read_bytes())
    copy.voice.write_bytes(clip.voice.read_bytes())
    assert made(run(copy, work_dir, tmp_path / "again.mp4"), "generate") == []


def test_two_runs_at_once_make_each_file_once(short_clip: Clip, tmp_path: Path) -> None:
    work_dir, outputs = tmp_path / "work", [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    jobs = [_job_process(short_clip, work_dir, output) for output in outputs]
    seen: dict[Path, set[int]] = {}
    for job in jobs:
        while _runs(job):
            for path in work_dir.glob(f"{SOURCE}/*/[!.]*"):
                seen.setdefault(path, set()).add(path.stat().st_ino)
    assert [job.wait() for job in jobs] == [0, 0], "".join(job.communicate()[0] for job in jobs)
    stages = {path.parent.name for path in seen}
    assert {"voice", "faces", "track", "generate", "render", "join"} <= stages
    assert {path.name: len(files) for path, files in seen.items() if len(files) != 1} == {}
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def _runs(job: subprocess.Popen) -> bool:
    try:
        job.wait(timeout=0.02)
    except subprocess.TimeoutExpired:
        return True
    return False


def _job_process(clip: Clip, work_dir: Path, output: Path) -> subprocess.Popen[str]:
    """The job in a process of its own."""
    program = (
        "import sys, pathlib; from tests.conftest import Clip; from tests.e2e.jobs import run; "
        "video, voice, work_dir, output = map(pathlib.Path, sys.argv[1:]); "
        f"run(Clip(video, voice), work_dir, output, segments={SHORT})"
    )
    command = [sys.executable, "-c", program, clip.video, clip.voice, work_dir, output]
    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    return subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_without_the_cache_everything_is_made_again(short_clip: Clip, work_dir: Path, tmp_path: Path) -> None:
    first = run(short_clip, work_dir, tmp_path / "first.mp4", segments=SHORT)
    again = run(short_clip, work_dir, tmp_path / "again.mp4", segments=SHORT, run={"cache": False})
    everything = [segment.index for segment in first.segments]
    assert made(again, "generate") == made(again, "render") == everything
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "first.mp4").read_bytes()


def test_work_that_is_not_kept_goes_and_can_be_made_again(short_clip: Clip, tmp_path: Path) -> None:
    for name in ("first.mp4", "again.mp4"):
        report = run(short_clip, tmp_path / "work", tmp_path / name, segments=SHORT, run={"keep_work": False})
        assert made(report, "generate") == made(report, "render") == [segment.index for segment in report.segments]
        left = {path.parent.name for path in (tmp_path / "work").glob(f"{SOURCE}/*/*") if path.is_file()}
        assert left.isdisjoint({"generate", "render", "join"})
        assert {"faces", "track"} <= left
    assert (tmp_path / "first.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()
