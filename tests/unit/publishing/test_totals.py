from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.cli.report import report as report_command
from latentsync.errors import InputError
from latentsync.publishing.report import write_report
from latentsync.publishing.totals import find_reports, totals_by_tag
from tests.unit.publishing.test_report import report, segment

DAY = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """Three runs of 240 frames: two of acme's, one of them on a GPU, and one of nobody's."""
    whole = report([segment(0, 0, 240)])
    runs = {
        "a": {"tags": ["acme", "warp"], "cpu_seconds": 60.0, "ended": DAY},
        "b": {"tags": ["acme"], "cpu_seconds": 30.0, "gpu_seconds": 18.0, "price": 0.02, "ended": DAY.replace(day=22)},
        "c": {},  # of a version that told neither tags nor date
    }
    (tmp_path / "deep").mkdir()
    for run, figures in runs.items():
        write_report(whole.model_copy(update={"run_id": run, **figures}), str(tmp_path / "deep" / f"{run}.mp4.json"))
    (tmp_path / "report.json").write_bytes((tmp_path / "deep" / "a.mp4.json").read_bytes())
    (tmp_path / "other.json").write_text('{"frames": 3}')
    return tmp_path


def test_each_run_counts_once_for_each_of_its_tags(outbox: Path) -> None:
    acme, warp, everything = totals_by_tag(find_reports([outbox, outbox / "deep"]))
    assert [(total.tag, total.runs) for total in (acme, warp, everything)] == [("acme", 2), ("warp", 1), ("all", 3)]
    assert (acme.cpu_seconds, acme.gpu_seconds, acme.price) == (90.0, 18.0, 0.02)
    assert (warp.gpu_seconds, warp.price) == (None, None)
    assert everything.output_seconds == 3 * 240 / 25


def test_only_runs_since_then(outbox: Path) -> None:
    assert [each.run_id for each in find_reports([outbox], DAY.replace(day=21))] == ["b"]


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        list(find_reports([tmp_path / "nowhere"]))


def test_the_command_prints_a_line_per_tag(outbox: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_command(outbox)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[2:] == [
        ["acme", "│", "2", "│", "0.3", "│", "0.01", "│", "0.03", "│", "0.01", "│", "0.02"],
        ["warp", "│", "1", "│", "0.2", "│", "0.00", "│", "0.02", "│", "│"],
        ["all", "│", "3", "│", "0.5", "│", "0.01", "│", "0.03", "│", "0.01", "│", "0.02"],
    ]
    with pytest.raises(InputError, match=r"no report of a run in .* since 2027"):
        report_command(outbox, since=datetime(2027, 1, 1))
