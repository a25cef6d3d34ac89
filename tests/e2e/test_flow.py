"""The whole flow on a real clip, through Prefect."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from latentsync.errors import SegmentsFailed
from latentsync.publishing.report import Report
from tests.conftest import Clip
from tests.e2e.jobs import made, run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

FRAMES = 230  # 9.2 s of voice at 25 fps
SHORT = {"segment_seconds": 1}


@pytest.fixture(scope="module")
def first(clip: Clip, work_dir: Path, tmp_path_factory: pytest.TempPathFactory, prefect_server: None):
    output = tmp_path_factory.mktemp("out") / "first.mp4"
    return run(clip, work_dir, output), output


def test_the_output_has_every_frame_and_sample(first: tuple[Report, Path]) -> None:
    report, output = first
    assert len(report.segments) >= 3
    assert made(report, "generate") == made(report, "render") == list(range(len(report.segments)))
    with av.open(str(output)) as file:
        video, sound = file.streams.video[0], file.streams.audio[0]
        assert (video.codec_context.width, video.codec_context.height) == (640, 640)
        assert video.average_rate == Fraction(25)
        assert sum(1 for packet in file.demux(video) if packet.size) == FRAMES == report.frames
        assert (sound.codec_context.sample_rate, sound.codec_context.channels) == (44_100, 1)
        assert sound.duration is not None
        assert sound.time_base is not None
        assert abs(float(sound.duration * sound.time_base) - FRAMES / 25) < 1024 / 44_100


def test_a_second_run_makes_nothing(first: tuple[Report, Path], clip: Clip, work_dir: Path, tmp_path: Path) -> None:
    again = run(clip, work_dir, tmp_path / "again.mp4")
    assert made(again, "generate") == made(again, "render") == []
    assert (tmp_path / "again.mp4").read_bytes() == first[1].read_bytes()


def test_faces_straight_into_the_render_give_the_same_file(
    first: tuple[Report, Path], clip: Clip, work_dir: Path, tmp_path: Path
) -> None:
    report = run(clip, work_dir, tmp_path / "direct.mp4", engine={"name": "warp"})
    assert {"render", "score"} == set(report.segments[0].tasks)
    assert made(report, "render") == [segment.index for segment in report.segments]
    assert (tmp_path / "direct.mp4").read_bytes() == first[1].read_bytes()

    again = run(clip, work_dir, tmp_path / "again.mp4", engine={"name": "warp"}, force=[1])
    assert made(again, "render") == [1]
    assert (tmp_path / "again.mp4").read_bytes() == first[1].read_bytes()


def test_a_new_crf_renders_but_does_not_generate(
    first: tuple[Report, Path], clip: Clip, work_dir: Path, tmp_path: Path
) -> None:
    report = run(clip, work_dir, tmp_path / "crf.mp4", encode={"crf": 30, "preset": "ultrafast"})
    assert made(report, "generate") == []
    assert made(report, "render") == [segment.index for segment in report.segments]


def test_a_forced_segment_is_made_again_alone(
    first: tuple[Report, Path], clip: Clip, work_dir: Path, tmp_path: Path
) -> None:
    report = run(clip, work_dir, tmp_path / "forced.mp4", force=[1])
    assert made(report, "generate") == made(report, "render") == [1]
    assert (tmp_path / "forced.mp4").read_bytes() == first[1].read_bytes()


@pytest.mark.parametrize("damage", ["delete", "truncate", "flip a bit"])
def test_a_damaged_face_clip_is_made_again_alone(
    damage: str, first: tuple[Report, Path], clip: Clip, work_dir: Path, tmp_path: Path
) -> None:
    victim = sorted(work_dir.glob("*/generate/*.mkv"))[2]
    content = bytearray(victim.read_bytes())
    if damage == "delete":
        victim.unlink()
    elif damage == "truncate":
        victim.write_bytes(content[:-100])
    else:
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
    report = run(clip, work_dir, tmp_path / "mended.mp4")
    assert len(made(report, "generate")) == 1
    assert made(report, "render") == []
    assert (tmp_path / "mended.mp4").read_bytes() == first[1].read_bytes()


def test_a_segment_that_fails_leaves_the_others_done(short_clip: Clip, tmp_path: Path) -> None:
    work_dir, output = tmp_path / "work", tmp_path / "out.mp4"
    report = run(short_clip, work_dir, output, segments=SHORT)
    victim = sorted(work_dir.glob("*/render/*.mp4"))[1]
    for path in work_dir.glob("*/render/*.mp4"):
        path.unlink()
    (victim / "in the way").mkdir(parents=True)  # its render cannot get its name
    output.write_text("old")
    with pytest.raises(SegmentsFailed, match=f"1 tasks failed.*render-001: {victim} is in the way"):
        run(short_clip, work_dir, output, segments=SHORT)
    assert output.read_text() == "old"

    (victim / "in the way").rmdir()
    victim.rmdir()
    mended = run(short_clip, work_dir, output, segments=SHORT)
    assert len(made(mended, "render")) == 1
    assert mended.frames == report.frames
