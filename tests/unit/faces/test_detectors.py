"""What a detector says of itself reaches settings, loading and keys; one of another package too."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from latentsync.faces.detect import find_faces
from latentsync.faces.detectors import registry
from latentsync.faces.detectors.registry import detector_identity, detector_spec, load_detector
from latentsync.faces.face import LIMITS, DetectorSpec, Face
from latentsync.faces.points import MOUTH_POINTS
from latentsync.faces.settings import DETECTORS, FaceSettings


class Centre:
    """Sees one face in the middle of every picture."""

    def detect(self, rgb: np.ndarray) -> list[Face]:
        height, width = rgb.shape[:2]
        middle = np.array([width, height], np.float32) / 2
        box = np.concatenate([middle - 60, middle + 60])
        return [Face(box, 1.0, np.tile(middle, (3, 1)), np.tile(middle, (len(MOUTH_POINTS), 1)))]

    def forget(self) -> None: ...


CENTRE = DetectorSpec(name="centre", load=Centre)


@pytest.fixture(autouse=True)
def _centre_is_known(monkeypatch):
    monkeypatch.setattr(DETECTORS, "_specs", dict(DETECTORS._specs))
    DETECTORS.register(CENTRE)


def test_a_detector_of_another_package_finds_faces(tmp_path):
    settings = FaceSettings.model_validate_json(FaceSettings(detector="centre").model_dump_json())
    frames = (np.zeros((240, 320, 3), np.uint8) for _ in range(3))
    assert find_faces(frames, 1.0, load_detector(settings.detector), tmp_path / "faces.npy") == 3
    rows = np.load(tmp_path / "faces.npy")
    assert rows["count"].tolist() == [1, 1, 1]
    assert rows["faces"]["box"][0, 0].tolist() == [100, 60, 220, 180]


def test_an_unknown_detector_is_refused_with_the_known_ones():
    with pytest.raises(ValidationError, match="'magic' is unknown; known are centre, insightface, mediapipe"):
        FaceSettings(detector="magic")


def test_all_that_changes_which_faces_are_found_is_in_the_key(monkeypatch, tmp_path):
    model = tmp_path / "model"
    variants = [
        CENTRE,
        replace(CENTRE, long_side_px=640),
        replace(CENTRE, version=2),
        replace(CENTRE, libraries=("numpy",)),
        replace(CENTRE, model_files=lambda: [model]),
    ]
    identities = []
    for number, spec in enumerate(variants):
        model.write_text(str(number))
        DETECTORS.register(spec)
        identities.append(detector_identity("centre"))
    model.write_text("another, longer")
    identities.append(detector_identity("centre"))
    monkeypatch.setattr(registry, "LIMITS", replace(LIMITS, min_width_px=20))
    identities.append(detector_identity("centre"))
    assert all(one != other for index, one in enumerate(identities) for other in identities[:index])
    assert detector_identity("auto") == detector_identity(detector_spec("auto").name)


def test_mediapipe_is_silent_and_nobody_else_is_silenced():
    script = """
import os, sys
import numpy as np
from latentsync.faces.detectors import mediapipe, mediapipe_graphs
with mediapipe_graphs._quiet():
    os.write(2, b"a child process;")
    print("python", file=sys.stderr)
mediapipe.MediapipeDetector().detect(np.zeros((64, 64, 3), np.uint8))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stderr == "a child process;python\n"
