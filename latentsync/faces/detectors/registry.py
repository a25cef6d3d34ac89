"""The detector of a job: chosen, loaded, and what of it is in the keys."""

from dataclasses import asdict

from latentsync.faces.face import LIMITS, DetectorSpec, FaceDetector
from latentsync.faces.settings import BUILT_IN, DETECTORS
from latentsync.records import file_sha256
from latentsync.versions import versions


def detector_spec(name: str = "auto") -> DetectorSpec:
    """The detector of that name; ``auto``: the first built-in one that this machine has all files of."""
    return next(spec for spec in BUILT_IN if spec.is_available()) if name == "auto" else DETECTORS.find(name)


def load_detector(name: str = "auto") -> FaceDetector:
    """A detector of its own for one thread. Raises ``InputError`` when its package or models are missing."""
    return detector_spec(name).load()


def detector_identity(name: str) -> dict[str, object]:
    """All of a detector that changes which faces are found: for the keys of detections."""
    spec = detector_spec(name)
    files = [path for path in spec.model_files() if path.is_file()]
    return {
        "name": spec.name,
        "version": spec.version,
        "libraries": versions(spec.libraries),
        "models": [file_sha256(path) for path in files],
        "long_side_px": spec.long_side_px,
        "limits": asdict(LIMITS),
    }
