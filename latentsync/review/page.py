"""`report.html`: a finished run for a person to watch and judge, from a folder, without a server or a network."""

from collections.abc import Sequence
from pathlib import Path

from latentsync.publishing.report import Report, SegmentReport, write_report
from latentsync.review.files import PAGE, PICTURES, REPORT, RESULT, SOURCE
from latentsync.review.findings import Findings, read_findings
from latentsync.review.html import duration, page
from latentsync.segments.verdict import Verdict
from latentsync.storage.atomic import write_whole


def write_page(report: Report, folder: Path) -> Path:
    """Write ``report.json`` and ``report.html`` into a folder that has the findings, previews and pictures."""
    write_report(report, str(folder / REPORT))
    pictures = [name for name in PICTURES if (folder / name).is_file()]
    write_whole(folder / PAGE, report_page(report, read_findings(folder), pictures).encode())
    return folder / PAGE


def report_page(report: Report, findings: Findings, pictures: Sequence[str]) -> str:
    """The HTML; it refers to files in its own folder only."""
    segments = [_segment(report, segment) for segment in report.segments]
    return page(
        "report.html",
        report=report,
        name=Path(report.output.location).name,
        seconds=float(report.frames / report.fps),
        fps=float(report.fps),
        is_tall=report.height > report.width,
        films=(("Source", SOURCE), ("Result", RESULT)),
        segments=segments,
        times=[segment.start - report.start for segment in report.segments],
        is_scored=any(segment["score"] is not None for segment in segments),
        loudness=_area(findings.loudness),
        opening=_line(findings.opening),
        findings=findings,
        pictures=pictures,
        stages=[_stage(report, name) for name in report.stages],
    )


def _segment(report: Report, segment: SegmentReport) -> dict[str, object]:
    """What the page shows of a segment; ``score`` is 0..1, None where there is none."""
    tasks = [
        {
            "stage": name,
            "how": "made earlier" if task.cached else f"{task.seconds:.1f} s" if task.seconds is not None else "",
            "attempts": task.attempts or "",
            "where": task.worker or "",
            "memory": _memory(task.peak_rss_mib, task.peak_gpu_mib),
        }
        for name, task in segment.tasks.items()
    ]
    return {
        "index": segment.index,
        "start": float((segment.start - report.start) / report.fps),
        "end": float((segment.end - report.start) / report.fps),
        "left": 100 * (segment.start - report.start) / report.frames,
        "width": 100 * (segment.end - segment.start) / report.frames,
        "frames": f"{segment.start} to {segment.end - 1}",
        "tasks": tasks,
        "score": _goodness(segment.verdict),
        "verdict": str(segment.verdict or ""),
        "command": f"lipsync rerun {report.run_id} --segments {segment.index}",
    }


def _goodness(verdict: Verdict | None) -> float | None:
    """0 for a segment below a limit, else how well mouth and voice go together; None without a score."""
    if verdict is None:
        return None
    correlation = verdict.score.correlation
    return 0.0 if verdict.below else 1.0 if correlation is None else max(0.5, correlation)


def _stage(report: Report, name: str) -> tuple[str, str, str, str]:
    stage = report.stages[name]
    return name, str(stage.tasks), str(stage.cached), duration(stage.seconds)


def _memory(rss_mib: float | None, gpu_mib: float | None) -> str:
    known = [(rss_mib, "MiB"), (gpu_mib, "MiB of GPU")]
    return ", ".join(f"{figure:.0f} {unit}" for figure, unit in known if figure)


def _area(values: Sequence[float | None]) -> str:
    """A curve of 0..1 as an SVG path in a box of 1000x100, filled down to its base."""
    step = 1000 / max(len(values), 1)
    points = [f"L{index * step:.1f} {100 - 100 * (value or 0):.0f}" for index, value in enumerate(values)]
    return f"M0 100{''.join(points)}L1000 100Z"


def _line(values: Sequence[float | None]) -> str:
    """A curve of 0..1 as an SVG path in a box of 1000x100, with gaps where nothing is known."""
    step, path, pen = 1000 / max(len(values), 1), [], "M"
    for index, value in enumerate(values):
        if value is not None:
            path.append(f"{pen}{index * step:.1f} {100 - 100 * value:.0f}")
        pen = "M" if value is None else "L"
    return "".join(path)
