"""The page of a finished run: what it refers to, and what a person finds on it."""

from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import pytest

from latentsync.publishing.report import FileReport, Report, SegmentReport, StageReport, TaskReport, read_report
from latentsync.review.files import FINDINGS
from latentsync.review.findings import ChosenFace, Findings
from latentsync.review.page import report_page, write_page
from latentsync.segments.verdict import Score, Verdict

RUN = "3f1c"
GOOD = Verdict(score=Score(offset_frames=0, correlation=0.75), below=(), generated_again=1, seed=1248)
BAD = Verdict(score=Score(correlation=0.1), below=("correlation 0.1 (at least 0.3)",))
PICTURE = "data:image/jpeg;base64,AAAA"
FINDINGS_MADE = Findings(
    loudness=[0.0, 0.5, 1.0],
    opening=[None, 0.25, None],
    opening_share=0.5,
    faces=[ChosenFace(frame=0, frames=240, picture=PICTURE)],
)


def report(output: str = "/out/film.mp4") -> Report:
    made = TaskReport(
        cached=False, seconds=61.25, attempts=2, worker="host-7 gpu 1", peak_rss_mib=900, peak_gpu_mib=5300
    )
    tasks = {"generate": made, "render": TaskReport(cached=True)}
    file = FileReport(location="/in/a.mp4", sha256="ab" * 32, size_bytes=7_000_000)
    return Report(
        run_id=RUN,
        run="film",
        video=file,
        audio=file,
        output=FileReport(location=output, sha256="cd" * 32, size_bytes=1),
        frames=240,
        fps=Fraction(25),
        width=1080,
        height=1920,
        engine="warp",
        settings={},
        versions={},
        seconds=100,
        peak_rss_mib=900,
        stages={"generate": StageReport(seconds=61.25, tasks=2, cached=1)},
        segments=[
            SegmentReport(index=0, start=0, end=125, tasks=tasks, verdict=GOOD),
            SegmentReport(index=1, start=125, end=240, tasks=tasks, verdict=BAD),
        ],
    )


class Elements(HTMLParser):
    """All elements with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def html() -> str:
    return report_page(report(), FINDINGS_MADE, ["contact-sheet.png"])


def test_it_refers_to_its_own_folder_only(html):
    elements = Elements(html).found
    places = [place for _, attributes in elements for name in ("src", "href") if (place := attributes.get(name))]
    assert sorted(places) == ["contact-sheet.png", "data:,", PICTURE, "result.mp4", "source.mp4"]
    assert "//" not in html.replace("// ", "")


def test_a_segment_is_a_place_on_the_timeline_with_its_costs_and_its_command(html):
    marks = [button for button in Elements(html).of("button") if "data-index" in button]
    assert [mark["style"] for mark in marks] == [
        "left:0.0000%;width:52.0833%;--score:0.75",
        "left:52.0833%;width:47.9167%;--score:0.00",
    ]
    assert f"lipsync rerun {RUN} --segments 1" in html
    assert "generated again once, kept that of seed 1248; offset_frames 0, correlation 0.75" in html
    assert "below: correlation 0.1 (at least 0.3)" in html
    for shown in ("61.2 s", "host-7 gpu 1", "900 MiB, 5300 MiB of GPU", "made earlier"):
        assert shown in html


def test_unknown_parts_of_a_curve_are_gaps(html):
    voice, mouth = (path["d"] for path in Elements(html).of("path"))
    assert voice == "M0 100L0.0 100L333.3 50L666.7 0L1000 100Z"
    assert mouth == "M333.3 75"
    assert "measured in the first 5 s" in html


def test_names_cannot_carry_html():
    html = report_page(report("/out/<img src=x onerror=alert(1)>.mp4"), FINDINGS_MADE, [])
    assert "<img src=x" not in html


def test_page_and_json_lie_side_by_side(tmp_path: Path):
    (tmp_path / FINDINGS).write_text(FINDINGS_MADE.model_dump_json())
    (tmp_path / "mouth-vs-voice.png").touch()
    page = write_page(report(), tmp_path)
    assert read_report(tmp_path / "report.json") == report()
    assert [picture["src"] for picture in Elements(page.read_text()).of("img")] == [PICTURE, "mouth-vs-voice.png"]


def test_without_a_score_nothing_is_coloured():
    plain = report()
    segments = [segment.model_copy(update={"verdict": None}) for segment in plain.segments]
    html = report_page(plain.model_copy(update={"segments": segments}), FINDINGS_MADE, [])
    assert "--score:" not in html
    assert "Score:" not in html
