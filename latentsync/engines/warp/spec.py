"""The warp engine's settings, and what the pipeline has to know about it."""

from dataclasses import replace
from fractions import Fraction

from pydantic import Field

from latentsync.engines.protocol import Engine
from latentsync.engines.spec import EngineSpec
from latentsync.faces.alignment import LATENTSYNC_ALIGNMENT
from latentsync.group import Group

RESOLUTION_PX = 512


class WarpSettings(Group):
    """The warp engine."""

    strength: float = Field(default=1.0, ge=0.1, le=2.0, description="How wide the mouth opens")


def rows_heard(frame: int, _fps: Fraction) -> range:
    """A row per output frame."""
    return range(frame, frame + 1)


def _load(settings: WarpSettings, _gpu: int) -> Engine:
    from latentsync.engines.warp.engine import WarpEngine

    return WarpEngine(settings)


WARP = EngineSpec(
    name="warp",
    settings=WarpSettings,
    resolution_px=lambda _: RESOLUTION_PX,
    rows_heard=rows_heard,
    load=_load,
    direct=True,
    alignment=replace(LATENTSYNC_ALIGNMENT, through_crop=False),  # which would take longer than the rest of the engine
    version=2,
    sees_whole_clip=True,  # the mouth at rest, and the inside of the widest one
    libraries=("numpy", "scipy", "opencv-contrib-python"),
)
