"""A part of a timeline has the segments, windows and faces that the whole has there."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from latentsync.errors import InputError
from latentsync.faces.alignment import LATENTSYNC_ALIGNMENT
from latentsync.faces.track import build_track
from latentsync.job import Job
from latentsync.media.loudness import FLOOR_DB
from latentsync.media.timeline import Timeline
from latentsync.records import Chunk
from latentsync.segments.part import (
    SETTLE_FRAMES,
    face_chunks,
    joined_segments,
    made_segments,
    part_of,
    reference_frames,
    used_frames,
)
from latentsync.segments.plan import plan_windows, segments_of
from latentsync.segments.windows import touching
from latentsync.settings import Settings, TimingSettings
from tests.unit.faces.test_track import add_face, detection_rows
from tests.unit.tasks.test_keys import World

FRAMES = 9000


def job_of(
    folder: Path, part: tuple[int, int] | None, source: str = "cut", source_frames: int = FRAMES, engine: str = "warp"
) -> Job:
    line = {"fps": Fraction(25), "frames": FRAMES, "source_frames": source_frames, "voice_frames": FRAMES}
    timeline = Timeline.model_validate({**line, "source": source})
    settings = Settings.model_validate({"engine": {"name": engine}})
    return World(folder).job().model_copy(update={"timeline": timeline, "part": part, "settings": settings})


@pytest.fixture(scope="module")
def detections() -> np.ndarray:
    """A face that is gone for a while, now and then, and trembles."""
    rows = detection_rows(FRAMES)
    seen = [frame for frame in range(FRAMES) if frame % 700 > 40]
    add_face(rows, seen, (300.0, 350.0))
    rows["signature"][FRAMES // 3 :] = 180
    return rows


def track_of(job: Job, detections: np.ndarray, folder: Path) -> np.ndarray:
    chunks, files = face_chunks(job), []
    for chunk in chunks:
        files.append(folder / f"{chunk.index}.npy")
        np.save(files[-1], detections[chunk.start : chunk.end])
    starts = [chunk.start for chunk in chunks]
    out = folder / "track.npy"
    build_track(files, "largest", 512, LATENTSYNC_ALIGNMENT, out, starts=starts, frames=used_frames(job))
    return np.load(folder / "track.npy")


@pytest.mark.parametrize(
    ("engine", "part"),
    [
        ("latentsync-1.6", (0, 100)),
        ("latentsync-1.6", (4500, 4625)),
        ("latentsync-1.6", (8900, 9000)),
        ("warp", (5100, 5130)),
    ],
)
def test_a_part_is_planned_as_in_the_whole(
    tmp_path: Path, detections: np.ndarray, part: tuple[int, int], engine: str
) -> None:
    random = np.random.default_rng(2)
    loudness = np.where(np.repeat(random.random(FRAMES // 20) < 0.7, 20), -20.0, FLOOR_DB).astype(np.float32)
    jobs = [job_of(tmp_path, part, engine=engine) for part in (None, part)]
    tracks = [track_of(job, detections, tmp_path) for job in jobs]
    plans = [plan_windows(job, track, loudness) for job, track in zip(jobs, tracks, strict=True)]
    segments = segments_of(jobs[1])
    first, last = joined_segments(jobs[1])
    assert segments[first].start <= part[0] < part[1] <= segments[last - 1].end
    made = segments[slice(*made_segments(jobs[1]))]
    assert len(made) == last - first + (engine != "warp" and first > 0)
    start, end = made[0].start, made[-1].end if engine == "warp" else made[-1].clip_end
    whole, here = (plan.grid[touching(plan.grid, start, end)] for plan in plans)
    assert len(whole) > 4
    np.testing.assert_array_equal(here, whole)
    whole_track, track = tracks
    np.testing.assert_array_equal(plans[1].opacity[start:end], plans[0].opacity[start:end])
    for name in ("face", "matrix", "mouth"):
        for rows in (slice(int(whole[0, 0]), int(whole[-1, 1])), slice(*reference_frames(jobs[1]))):
            np.testing.assert_array_equal(track[name][rows], whole_track[name][rows])
    assert len(face_chunks(jobs[1])) < len(face_chunks(jobs[0])) / 2


def test_a_part_of_a_loop_looks_where_the_loop_is(tmp_path: Path) -> None:
    job = job_of(tmp_path, (8000, 8100), "loop", 2100)
    assert {chunk.start for chunk in face_chunks(job)} <= {0, 500, 1000, 1500, 2000}
    assert face_chunks(job_of(tmp_path, None, "loop", 2100))[-1] == Chunk(index=4, start=2000, end=2100)


def test_the_reference_is_inside_one_chunk_and_settled(tmp_path: Path) -> None:
    start, end = reference_frames(job_of(tmp_path, None))
    assert start // 500 == (end - 1) // 500
    assert start % 500 >= SETTLE_FRAMES
    assert reference_frames(job_of(tmp_path, None, "loop", 300)) == (0, 300)


def test_a_part_that_is_not_there_is_refused() -> None:
    timeline = Timeline(fps=Fraction(25), frames=250, source_frames=250, voice_frames=250, source="cut")
    assert part_of(TimingSettings(), timeline) is None
    assert part_of(TimingSettings(part_from="2"), timeline) == (50, 250)
    assert part_of(TimingSettings(part_from="0:04", part_to="1:00:00"), timeline) == (100, 250)
    with pytest.raises(InputError, match=r"--from 12 --to 13: .* lasts 10.00 s"):
        part_of(TimingSettings(part_from="12", part_to="13"), timeline)
