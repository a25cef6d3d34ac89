"""What many runs took together, by tag."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from latentsync.errors import InputError
from latentsync.publishing.report import Report, read_report
from latentsync.records import Record

ALL = "all"  # each run once, though it counts for each of its tags


class Total(Record):
    """Sums over runs; a figure that none of them has is None."""

    tag: str
    runs: int
    output_seconds: float
    seconds: float
    cpu_seconds: float | None
    gpu_seconds: float | None
    price: float | None


def find_reports(places: Iterable[Path], since: datetime | None = None) -> Iterator[Report]:
    """Each run's report at or under ``places`` once, of those that ended at ``since`` or later.

    Other files are passed over. Raises ``InputError`` for a place that is not there.
    """
    seen: set[str] = set()
    for place in places:
        if not place.exists():
            raise InputError(f"{place}: no such file or folder; name one with reports (OUTPUT.json or report.json)")
        for path in sorted(place.rglob("*.json")) if place.is_dir() else [place]:
            report = _report_at(path)
            if report is None or report.run_id in seen or (since and (report.ended is None or report.ended < since)):
                continue
            seen.add(report.run_id)
            yield report


def totals_by_tag(reports: Iterable[Report]) -> list[Total]:
    """A total of each tag in order, and at last that of all; none without a report."""
    by_tag: dict[str, list[Report]] = {}
    for report in reports:
        for tag in (*report.tags, ALL):
            by_tag.setdefault(tag, []).append(report)
    return [_total(tag, by_tag[tag]) for tag in sorted(by_tag, key=lambda tag: (tag == ALL, tag))]


def _total(tag: str, reports: list[Report]) -> Total:
    return Total(
        tag=tag,
        runs=len(reports),
        output_seconds=round(float(sum(report.frames / report.fps for report in reports)), 3),
        seconds=round(sum(report.seconds for report in reports), 3),
        cpu_seconds=_sum(report.cpu_seconds for report in reports),
        gpu_seconds=_sum(report.gpu_seconds for report in reports),
        price=_sum(report.price for report in reports),
    )


def _sum(figures: Iterable[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return round(sum(known), 4) if known else None


def _report_at(path: Path) -> Report | None:
    try:
        return read_report(path)
    except (OSError, ValueError):
        return None
