"""InsightFace's 106 landmarks, what LatentSync was trained with; used when its files are present."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from latentsync.errors import InputError
from latentsync.faces.face import DetectorSpec, Face
from latentsync.faces.points import JAW, LIPS_INNER, LIPS_OUTER

ROOT = Path("~/.insightface")  # where the package looks by default
MODELS = ROOT / "models/buffalo_l"
FILES = ("det_10g.onnx", "2d106det.onnx")
DETECTION_SIZE_PX = 512  # side of the picture that faces are looked for in

# Rows of the 106 landmarks.
LEFT_BROW, RIGHT_BROW, NOSE = (43, 48, 49, 51, 50), (101, 102, 103, 104, 105), (74, 77, 83, 86)
# From the corner on the picture's left to the other one.
OUTER_BELOW, OUTER_ABOVE = (52, 55, 56, 53, 59, 58, 61), (52, 64, 63, 71, 67, 68, 61)
INNER_BELOW, INNER_ABOVE = (65, 54, 60, 57, 69), (65, 66, 62, 70, 69)
JAW_LEFT = (1, 9, 10, 11, 12, 13, 14, 15, 16, 2, 3, 4, 5, 6, 7, 8)
JAW_RIGHT = (24, 23, 22, 21, 20, 19, 18, 32, 31, 30, 29, 28, 27, 26, 25, 17)
CONTOUR = (*JAW_LEFT, 0, *JAW_RIGHT)  # ear to ear round the chin


class InsightfaceDetector:
    """FaceDetector on InsightFace's buffalo_l models; every frame on its own."""

    def __init__(self) -> None:
        if not is_available():
            raise InputError(
                f"the InsightFace detector needs `pip install insightface onnxruntime` and {', '.join(FILES)} "
                f"in {MODELS.expanduser()}; put them there or choose the mediapipe detector"
            )
        self._app = _load_app()

    def forget(self) -> None:
        """Nothing is remembered."""

    def detect(self, rgb: np.ndarray) -> list[Face]:
        """Faces in (H, W, 3) uint8; see FaceDetector."""
        faces = self._app.get(np.ascontiguousarray(rgb[..., ::-1]))
        return [_as_face(face.bbox, float(face.det_score), face.landmark_2d_106) for face in faces]


def is_available() -> bool:
    """Whether the package and its model files are there."""
    has_package = find_spec("insightface") is not None and find_spec("onnxruntime") is not None
    return has_package and all(path.is_file() for path in _model_files())


def _load_app() -> Any:
    import onnxruntime  # pyright: ignore[reportMissingImports]
    from insightface.app import FaceAnalysis  # pyright: ignore[reportMissingImports]

    app = FaceAnalysis(
        root=str(ROOT),
        allowed_modules=["detection", "landmark_2d_106"],
        providers=onnxruntime.get_available_providers(),
    )
    app.prepare(ctx_id=0, det_size=(DETECTION_SIZE_PX, DETECTION_SIZE_PX))
    return app


def _as_face(box: np.ndarray, score: float, landmarks: np.ndarray) -> Face:
    landmarks = landmarks.astype(np.float32)
    points = np.stack([landmarks[list(rows)].mean(axis=0) for rows in (LEFT_BROW, RIGHT_BROW, NOSE)])
    return Face(box.astype(np.float32), score, points, mouth_points(landmarks))


def mouth_points(landmarks: np.ndarray) -> np.ndarray:
    """(106, 2) -> lips and jaw (K, 2) in the order of MOUTH_POINTS, evenly spaced along each line."""
    outer = _lip(landmarks[list(OUTER_BELOW)], landmarks[list(OUTER_ABOVE)], len(LIPS_OUTER))
    inner = _lip(landmarks[list(INNER_BELOW)], landmarks[list(INNER_ABOVE)], len(LIPS_INNER))
    jaw = _resample(landmarks[list(CONTOUR)], len(JAW))
    return np.concatenate([outer, inner, jaw]).astype(np.float32)


def _lip(below: np.ndarray, above: np.ndarray, count: int) -> np.ndarray:
    """A closed loop of ``count`` points: left corner, along below to the right one, back above."""
    half = count // 2 + 1
    return np.concatenate([_resample(below, half), _resample(above, half)[-2:0:-1]])


def _resample(line: np.ndarray, count: int) -> np.ndarray:
    """``count`` points at equal distances along a polyline."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    wanted = np.linspace(0, along[-1], count)
    return np.stack([np.interp(wanted, along, line[:, axis]) for axis in (0, 1)], axis=1)


def _model_files() -> list[Path]:
    return [MODELS.expanduser() / name for name in FILES]


INSIGHTFACE = DetectorSpec(
    name="insightface",
    load=InsightfaceDetector,
    is_available=is_available,
    model_files=_model_files,
    libraries=("insightface", "onnxruntime", "opencv-contrib-python", "numpy"),
)
