"""The real detector on a real face that is set in motion."""

from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from latentsync.errors import InputError
from latentsync.faces.detect import DETECTION_DTYPE, find_faces
from latentsync.faces.detectors.insightface import CONTOUR, INNER_ABOVE, OUTER_BELOW, mouth_points
from latentsync.faces.detectors.registry import load_detector
from latentsync.faces.face import defect
from latentsync.faces.points import JAW, LIPS_INNER, LIPS_OUTER, MOUTH_POINTS
from tests.pictures import read_picture

PORTRAIT = Path(__file__).parents[3] / "demo" / "astronaut.jpg"
WIDTH, HEIGHT = 640, 480
FACE = np.array([184.0, 122.0])  # its middle in the portrait


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return read_picture(PORTRAIT)


@pytest.fixture(scope="module")
def detector():
    return load_detector("mediapipe")


def place(portrait: np.ndarray, *faces: tuple[float, float, float], grey: int = 90) -> np.ndarray:
    """A picture (HEIGHT, WIDTH, 3) with the head at each (x, y, scale)."""
    picture = np.full((HEIGHT, WIDTH, 3), grey, np.uint8)
    for x, y, scale in faces:
        matrix = np.array([[scale, 0, x - scale * FACE[0]], [0, scale, y - scale * FACE[1]]])
        shown = cv2.warpAffine(portrait, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)
        rows = slice(max(0, int(y - 100 * scale)), int(y + 100 * scale))
        columns = slice(max(0, int(x - 90 * scale)), int(x + 90 * scale))
        picture[rows, columns] = shown[rows, columns]
    return picture


def detections(frames, detector, tmp_path: Path, scale: float = 1.0) -> np.ndarray:
    path = tmp_path / "chunk.npy"
    assert find_faces(iter(frames), scale, detector, path) == len(frames)
    rows = np.load(path)
    assert rows.dtype == DETECTION_DTYPE
    assert len(rows) == len(frames)
    return rows


def test_points_move_with_the_head(portrait, detector, tmp_path):
    centres = [(200 + 9 * step, 200 + 4 * step) for step in range(24)]  # leaves its first view
    rows = detections([place(portrait, (x, y, 1.0)) for x, y in centres], detector, tmp_path)
    assert (rows["count"] == 1).all()
    moved = rows["faces"]["points"][:, 0] - np.array(centres)[:, None]
    assert np.abs(moved - moved.mean(axis=0)).max() < 2.0
    left_brow, right_brow, nose = moved.mean(axis=0)
    assert left_brow[0] < nose[0] < right_brow[0]
    assert nose[1] > max(left_brow[1], right_brow[1]) + 20


def test_mouth_has_its_layout(portrait, detector, tmp_path):
    mouth = detections([place(portrait, (320, 240, 1.0))], detector, tmp_path)["faces"]["mouth"][0, 0]
    outer, inner, jaw = np.split(mouth, [len(LIPS_OUTER), len(LIPS_OUTER + LIPS_INNER)])
    for lip in (outer, inner):
        assert lip[0, 0] < lip[5, 0] < lip[10, 0]
        assert lip[15, 1] < lip[5, 1]
    assert outer[5, 1] > inner[5, 1] > inner[15, 1] > outer[15, 1]
    assert jaw[10, 1] == jaw[:, 1].max()


def test_reduced_frames_give_source_pixels(portrait, detector, tmp_path):
    frame = place(portrait, (320, 240, 1.3))
    half = cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    full_size = detections([frame], detector, tmp_path)["faces"]["mouth"][0, 0]
    from_half = detections([half], detector, tmp_path, scale=0.5)["faces"]["mouth"][0, 0]
    assert np.abs((from_half - full_size).mean(axis=0)).max() < 1.0
    assert np.abs(from_half - full_size).max() < 4.0


def test_what_was_seen_before_the_chunk_does_not_count(portrait, detector, tmp_path):
    chunk = [place(portrait, (300 + 3 * step, 220, 1.0)) for step in range(5)]
    first = detections(chunk, detector, tmp_path)
    detections([place(portrait, (150, 150, 0.8), (450, 200, 1.0))] * 3, detector, tmp_path)
    np.testing.assert_array_equal(detections(chunk, detector, tmp_path), first)
    np.testing.assert_array_equal(detections(chunk, load_detector("mediapipe"), tmp_path), first)


def test_several_faces_largest_first(portrait, detector, tmp_path):
    rows = detections([place(portrait, (140, 200, 0.9), (460, 240, 1.3))] * 3, detector, tmp_path)
    assert (rows["count"] == 2).all()
    larger, smaller = rows["faces"]["box"][-1, :2]
    assert larger[2] - larger[0] > smaller[2] - smaller[0]
    assert smaller[0] < 140 < smaller[2] < larger[0] < 460 < larger[2]


def test_small_faces_in_wide_pictures_are_found(portrait, detector, tmp_path):
    rows = detections([place(portrait, (400, 200, 0.45))] * 2, detector, tmp_path, scale=0.33)
    assert (rows["count"] == 1).all()


def test_tiny_and_missing_faces_are_left_out(portrait, detector, tmp_path):
    tiny = place(portrait, (400, 200, 0.45))
    nothing = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    rows = detections([tiny, nothing, tiny], detector, tmp_path)  # 45 px wide in the source
    assert (rows["count"] == 0).all()


def test_a_second_face_after_a_cut_is_found_at_once(portrait, detector, tmp_path):
    alone = place(portrait, (150, 240, 1.0))
    joined = place(portrait, (150, 240, 1.0), (480, 200, 1.2), grey=180)
    rows = detections([alone] * 3 + [joined] * 2, detector, tmp_path)
    assert rows["count"].tolist() == [1, 1, 1, 2, 2]


def test_a_head_that_leaves_the_picture_is_left_out(portrait, detector, tmp_path):
    frames = [place(portrait, (320, 300 + 20 * step, 1.2)) for step in range(10)]
    counts = detections(frames, detector, tmp_path)["count"]
    assert counts[0] == 1
    assert counts[-1] == 0


def test_a_detector_that_is_dropped_lets_go_of_its_threads(portrait):
    def use_one() -> int:
        load_detector("mediapipe").detect(place(portrait, (320, 240, 1.0)))
        return psutil.Process().num_threads()

    first = use_one()
    assert max(use_one() for _ in range(3)) <= first


def test_insightface_is_optional_and_says_what_it_needs(monkeypatch, tmp_path):
    monkeypatch.setattr("latentsync.faces.detectors.insightface.MODELS", tmp_path)
    assert type(load_detector("auto")).__name__ == "MediapipeDetector"
    with pytest.raises(InputError, match=r"2d106det\.onnx"):
        load_detector("insightface")


def test_106_landmarks_become_lips_and_jaw():
    landmarks = np.zeros((106, 2))
    landmarks[list(CONTOUR)] = [(x, 100 - abs(x)) for x in np.linspace(-80, 80, len(CONTOUR))]
    landmarks[list(OUTER_BELOW)] = [(x, 20 - abs(x) / 2) for x in np.linspace(-40, 40, len(OUTER_BELOW))]
    landmarks[list(INNER_ABOVE)] = [(x, -5) for x in np.linspace(-30, 30, len(INNER_ABOVE))]
    mouth = mouth_points(landmarks)
    assert mouth.shape == (len(MOUTH_POINTS), 2)
    outer, inner, jaw = np.split(mouth, [len(LIPS_OUTER), len(LIPS_OUTER + LIPS_INNER)])
    np.testing.assert_allclose(outer[[0, 5, 10]], [(-40, 0), (0, 20), (40, 0)], atol=1e-4)
    np.testing.assert_allclose(inner[[10, 15]], [(30, -5), (0, -5)], atol=1e-4)
    np.testing.assert_allclose(jaw[[0, 10, 20]], [(-80, 20), (0, 100), (80, 20)], atol=1e-4)
    assert len(jaw) == len(JAW)


def test_faces_that_cannot_be_worked_on_say_why(portrait, detector):
    def defects(*faces: tuple[float, float, float]) -> list[str | None]:
        detector.forget()
        return [defect(face) for face in detector.detect(place(portrait, *faces))]

    assert defects((320, 240, 1.3)) == [None]
    assert defects((320, 240, 0.45)) == ["too small"]
    assert defects((320, 455, 1.2)) == ["cut off"]
