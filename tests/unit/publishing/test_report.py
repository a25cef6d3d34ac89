import json
from fractions import Fraction
from pathlib import Path

import pytest
from pydantic import ValidationError

from latentsync.errors import InputError
from latentsync.publishing.report import (
    FileReport,
    Report,
    SegmentReport,
    StageReport,
    TaskReport,
    read_report,
    write_report,
)

STAGES = ("probe", "generate", "a-stage-of-another-package")
FILE = FileReport(location="/v.mp4", sha256="ab", size_bytes=7)


def segment(index: int, start: int, end: int) -> SegmentReport:
    task = TaskReport(cached=False, seconds=1.5, attempts=1)
    return SegmentReport(index=index, start=start, end=end, tasks={"generate": task, "render": TaskReport(cached=True)})


def report(segments: list[SegmentReport], fps: Fraction = Fraction(25)) -> Report:
    return Report(
        run_id="1234",
        run="out",
        video=FILE,
        audio=FILE,
        output=FILE,
        settings={"encode": {"crf": 18}},
        versions={"numpy": "2"},
        frames=240,
        fps=fps,
        width=1080,
        height=1920,
        engine="warp",
        seconds=12.5,
        peak_rss_mib=900.25,
        stages={name: StageReport(seconds=1, tasks=2, cached=1) for name in STAGES},
        segments=segments,
    )


def test_the_json_is_the_contract_and_figures_nobody_has_are_absent(tmp_path: Path):
    write_report(report([segment(0, 0, 125), segment(1, 125, 240)]), str(tmp_path / "report.json"))
    tasks = {"generate": {"cached": False, "seconds": 1.5, "attempts": 1}, "render": {"cached": True}}
    file = {"location": "/v.mp4", "sha256": "ab", "size_bytes": 7}
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "run_id": "1234",
        "run": "out",
        "video": file,
        "audio": file,
        "output": file,
        "settings": {"encode": {"crf": 18}},
        "versions": {"numpy": "2"},
        "start": 0,
        "frames": 240,
        "fps": "25/1",
        "width": 1080,
        "height": 1920,
        "engine": "warp",
        "tags": [],
        "seconds": 12.5,
        "peak_rss_mib": 900.25,
        "stages": {name: {"seconds": 1.0, "tasks": 2, "cached": 1} for name in STAGES},
        "segments": [
            {"index": 0, "start": 0, "end": 125, "tasks": tasks},
            {"index": 1, "start": 125, "end": 240, "tasks": tasks},
        ],
    }


def test_it_reads_back_as_it_was(tmp_path: Path):
    written = report([segment(0, 0, 240)], fps=Fraction(30000, 1001))
    write_report(written, str(tmp_path / "report.json"))
    assert '"30000/1001"' in (tmp_path / "report.json").read_text()
    assert read_report(tmp_path / "report.json") == written


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ([(0, 100), (101, 240)], r"segment 1 \[101, 240\) does not follow frame 100"),
        ([(0, 100), (99, 240)], r"segment 1 \[99, 240\) does not follow frame 100"),
        ([(0, 100), (100, 239)], r"end at frame 239, the output at 240"),
        ([(0, 0), (0, 240)], r"segment 0 \[0, 0\)"),
        ([], "at least 1 item"),
    ],
)
def test_segments_that_do_not_cover_the_frames_are_no_report(ranges, message):
    with pytest.raises(ValidationError, match=message):
        report([segment(index, start, end) for index, (start, end) in enumerate(ranges)])


def test_an_unwritable_path_is_named():
    with pytest.raises(InputError, match=r"/dev/null/report\.json cannot be written"):
        write_report(report([segment(0, 0, 240)]), "/dev/null/report.json")
