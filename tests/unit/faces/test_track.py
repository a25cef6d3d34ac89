"""Tracks from made-up detections: who is followed, where the track breaks, what is smoothed."""

from pathlib import Path

import numpy as np
import pytest

from latentsync.errors import InputError
from latentsync.faces.align import similarity_matrices
from latentsync.faces.alignment import LATENTSYNC_ALIGNMENT
from latentsync.faces.detect import DETECTION_DTYPE
from latentsync.faces.identity import Choice
from latentsync.faces.track import TRACK_DTYPE, build_track, runs
from tests.unit.faces.face_scene import TEMPLATE

CENTRE = (640.0, 360.0)
LEFT, RIGHT = (300.0, 350.0), (900.0, 350.0)


def detection_rows(frames: int) -> np.ndarray:
    """Frames of one quiet shot without a face."""
    rows = np.zeros(frames, DETECTION_DTYPE)
    rows["centre"] = CENTRE
    rows["signature"] = 100
    return rows


def add_face(rows: np.ndarray, frames, centre, width: float = 200.0) -> None:
    """A face in some frames; its points tremble from frame to frame like real ones."""
    for frame in frames:
        row = rows[frame]
        x, y = np.array(centre) + 3 * np.sin(frame * np.array([1.0, 1.7]))
        face = row["faces"][row["count"]]
        face["box"] = (x - width / 2, y - width * 0.6, x + width / 2, y + width * 0.6)
        face["score"] = 0.9
        face["points"] = (TEMPLATE - TEMPLATE[2]) * width / 75 + (x, y)
        face["mouth"] = (x, y + frame / 1000)
        row["count"] += 1


def track_of(rows: np.ndarray, folder: Path, choice: Choice = "largest", chunk_frames: int = 1000) -> np.ndarray:
    chunks = []
    for start in range(0, len(rows), chunk_frames):
        chunks.append(folder / f"chunk-{start}.npy")
        np.save(chunks[-1], rows[start : start + chunk_frames])
    out = folder / "track.npy"
    summary = build_track(chunks, choice, 512, LATENTSYNC_ALIGNMENT, out, "clip.mp4")
    track = np.load(out, mmap_mode="r")
    assert track.dtype == TRACK_DTYPE
    assert (summary.frames, summary.frames_with_face) == (len(rows), track["face"].sum())
    assert summary.runs == len(own_runs(track))
    return track


def own_runs(track: np.ndarray) -> list[tuple[int, int]]:
    return runs(track, np.arange(len(track)))


def test_rows_hold_what_was_detected(tmp_path):
    rows = detection_rows(10)
    add_face(rows, range(10), LEFT)
    track = track_of(rows, tmp_path)
    faces = rows["faces"][:, 0]
    for name in ("box", "mouth"):
        np.testing.assert_array_equal(track[name], faces[name])
    np.testing.assert_array_equal(track["points"], np.rint(faces["points"]))
    np.testing.assert_allclose(track["matrix"], similarity_matrices(np.rint(faces["points"]), 512))
    assert own_runs(track) == [(0, 10)]


def test_chunks_do_not_matter(tmp_path):
    rows = detection_rows(60)
    add_face(rows, range(5, 30), LEFT)
    add_face(rows, [*range(30, 41), *range(43, 60)], RIGHT)
    rows["signature"][30:] = 180
    whole = np.array(track_of(rows, tmp_path))
    for chunk_frames in (1, 7, 30, 42):
        np.testing.assert_array_equal(track_of(rows, tmp_path, chunk_frames=chunk_frames), whole)


def test_a_cut_breaks_the_track_though_the_face_stays(tmp_path):
    rows = detection_rows(40)
    add_face(rows, range(40), LEFT)
    rows["signature"][17:] = 160
    track = track_of(rows, tmp_path, chunk_frames=17)
    assert own_runs(track) == [(0, 17), (17, 40)]
    restarted = similarity_matrices(track["points"][17:], 512)
    np.testing.assert_allclose(track["matrix"][17:], restarted)


def test_a_slow_pan_is_no_cut(tmp_path):
    rows = detection_rows(40)
    add_face(rows, range(40), LEFT)
    rows["signature"] = (100 + 20 * np.sin(np.arange(40)))[:, None, None].astype(np.uint8)
    assert own_runs(track_of(rows, tmp_path)) == [(0, 40)]


def test_a_short_dropout_is_bridged_if_the_head_stays(tmp_path):
    rows = detection_rows(40)
    add_face(rows, [*range(10), *range(13, 25), *range(29, 40)], LEFT)
    track = track_of(rows, tmp_path)
    assert own_runs(track) == [(0, 25), (29, 40)]  # 3 missing frames are bridged, 4 are a gap
    between = track["mouth"][9, 0] + (track["mouth"][13, 0] - track["mouth"][9, 0]) * [[0.25], [0.5], [0.75]]
    np.testing.assert_allclose(track["mouth"][10:13, 0], between, rtol=1e-5)


def test_a_dropout_is_not_bridged_if_the_head_moved(tmp_path):
    rows = detection_rows(20)
    add_face(rows, range(10), LEFT)
    add_face(rows, range(12, 20), (LEFT[0] + 60, LEFT[1]))
    track = track_of(rows, tmp_path)
    assert own_runs(track) == [(0, 10), (12, 20)]
    assert track["shot"][9] == track["shot"][12]  # still the same person


@pytest.mark.parametrize(
    ("choice", "expected"), [("largest", RIGHT), ("center", (560.0, 350.0)), ((280.0, 340.0), LEFT)]
)
def test_the_choice_is_kept_through_the_shot(tmp_path, choice, expected):
    rows = detection_rows(50)
    add_face(rows, range(50), LEFT, width=120)
    add_face(rows, range(50), (560.0, 350.0), width=90)
    for frame in range(50):  # for a while the largest face is another one
        add_face(rows, [frame], RIGHT, width=110 if 20 <= frame < 25 else 200)
    track = track_of(rows, tmp_path, choice)
    middles = (track["box"][:, :2] + track["box"][:, 2:]) / 2
    assert np.abs(middles - expected).max() < 4
    assert own_runs(track) == [(0, 50)]


def test_each_shot_chooses_anew(tmp_path):
    rows = detection_rows(60)
    add_face(rows, range(60), LEFT, width=150)
    add_face(rows, range(30), RIGHT, width=120)
    add_face(rows, range(30, 60), RIGHT, width=250)
    rows["signature"][30:] = 200
    track = track_of(rows, tmp_path)
    assert track["box"][:30, 0].max() < 400
    assert track["box"][30:, 0].min() > 700


def test_another_face_stands_in_when_the_chosen_one_has_left(tmp_path):
    rows = detection_rows(60)
    add_face(rows, range(40), LEFT, width=200)
    add_face(rows, range(20, 50), RIGHT, width=160)
    add_face(rows, range(60), CENTRE, width=60)  # a bystander, far too small
    track = track_of(rows, tmp_path)
    assert own_runs(track) == [(0, 40), (40, 50)]
    assert track["shot"][39] != track["shot"][40]
    assert track["box"][39, 0] < 400 < 700 < track["box"][40, 0]


def test_a_stand_in_before_and_after_makes_scenes_of_its_own(tmp_path):
    rows = detection_rows(60)
    add_face(rows, range(60), RIGHT, width=140)
    add_face(rows, range(10, 50), LEFT, width=220)
    assert own_runs(track_of(rows, tmp_path)) == [(0, 10), (10, 50), (50, 60)]


def test_nobody_stands_in_while_the_chosen_face_looks_away(tmp_path):
    rows = detection_rows(60)
    add_face(rows, [*range(20), *range(35, 60)], LEFT, width=200)
    add_face(rows, range(60), RIGHT, width=160)
    assert own_runs(track_of(rows, tmp_path)) == [(0, 20), (35, 60)]


def test_no_face_at_all_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"clip\.mp4.* 30 frames .*50x80 px"):
        track_of(detection_rows(30), tmp_path)


def plain_track(frames: int, gaps=(), cut: int | None = None) -> np.ndarray:
    track = np.zeros(frames, TRACK_DTYPE)
    track["face"] = True
    track["face"][list(gaps)] = False
    if cut is not None:
        track["shot"][cut:] = 1
    return track


@pytest.mark.parametrize(
    ("source_indices", "expected"),
    [
        ([0, 1, 2, 3, 4, 5], [(0, 6)]),
        ([0, 1, 2, 2, 2], [(0, 5)]),  # hold
        ([3, 4, 5, 4, 3, 2], [(0, 6)]),  # bounce
        ([4, 5, 0, 1, 2], [(0, 2), (2, 5)]),  # loop
        ([5, 6, 7, 8, 9], [(0, 1), (2, 5)]),  # no face in 6
        ([9, 10, 11, 10, 9], [(0, 1), (1, 4), (4, 5)]),  # a cut at 10
        ([6, 6], []),
        ([6], []),
        ([5], [(0, 1)]),
    ],
)
def test_runs_on_the_output_timeline(source_indices, expected):
    track = plain_track(12, gaps=[6], cut=10)
    assert runs(track, np.array(source_indices)) == expected
