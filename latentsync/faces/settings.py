"""Which face speaks, and which detectors there are.

To add one here: a file in ``detectors`` with its spec, and a name in ``BUILT_IN``. Another package names its spec,
under the detector's name, as an entry point of the group ``lipsync.detectors``.
"""

from math import isfinite
from typing import Literal

from pydantic import Field, field_validator

from latentsync.faces.detectors.insightface import INSIGHTFACE
from latentsync.faces.detectors.mediapipe import MEDIAPIPE
from latentsync.faces.face import DetectorSpec
from latentsync.group import Group
from latentsync.plugins import Plugins

BUILT_IN = (INSIGHTFACE, MEDIAPIPE)  # auto: the first that is available

DETECTORS: Plugins[DetectorSpec] = Plugins("lipsync.detectors")
for _detector in BUILT_IN:
    DETECTORS.register(_detector)


class FaceSettings(Group):
    """Which face speaks."""

    choice: str = Field(default="largest", description="largest, center, or X,Y: the face nearest to that pixel")
    detector: str = Field(
        default="auto",
        description="auto: InsightFace when its files are present, else mediapipe",
        json_schema_extra=lambda schema: schema.update(enum=["auto", *DETECTORS.names()]),  # a drop-down
    )

    @field_validator("choice")
    @classmethod
    def _choice_is_known(cls, value: str) -> str:
        if value not in ("largest", "center"):
            _point(value)
        return value

    @field_validator("detector")
    @classmethod
    def _detector_is_known(cls, name: str) -> str:
        return name if name == "auto" else DETECTORS.find(name).name

    @property
    def target(self) -> Literal["largest", "center"] | tuple[float, float]:
        """largest, center, or the pixel (x, y)."""
        return self.choice if self.choice in ("largest", "center") else _point(self.choice)


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
        if not isfinite(x + y):
            raise ValueError
    except ValueError:
        raise ValueError(f"{text!r} is no choice of a face: give largest, center or X,Y in pixels") from None
    return x, y
