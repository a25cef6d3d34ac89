"""The warp engine: lips and jaw of the source face driven by the voice's loudness and formants.

No weights, no GPU: a preview. Two smooth fields meet at the line between the lips, one carries the
upper lip, the other the lower lip and the chin; what opens between them is the mouth's interior.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from latentsync.generation.engine import ClipContext, FaceWindow
from latentsync.generation.mouth_interior import COLUMNS, DEPTH, ROWS, interior_from_face, painted_interior
from latentsync.generation.mouth_shape import (
    MouthShape,
    RestingMouth,
    contour_basis,
    lip_thickness,
    measure,
    resting_mouth,
    target_shape,
)
from latentsync.generation.region import generated_region
from latentsync.voice.mouth import decode_mouth, extract_mouth

RESOLUTION_PX = 512
GRID_PX = 4  # spacing of the grid on which the fields are computed
TOP_PX = 240  # nothing above this row moves
BORDER_PX = 3  # of the generated region that stay the source's
RAMP_PX = 36  # over which displacements fade to 0 inside the region
CHIN_LIMIT = 0.6  # of RAMP_PX: how far the chin may move, so that no skin folds
MIN_OWN_GAP = 0.12  # of half the mouth's width: below this a clip's mouth shows no inside
TEETH_HIDDEN = 0.05  # of the missing gap: the upper lip hides teeth as it comes down
LIP_INSET = 0.025  # of half the mouth's width: lips are taken from just inside their edges
CLOSING_INSET = 0.04  # of the gap that is closed


class WarpEngine:
    """Engine that needs nothing but the clip; ``strength`` scales the opening of the mouth."""

    resolution_px = RESOLUTION_PX
    windows_per_batch = 1

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = strength

    def extract_voice(self, audio: Path, fps: Fraction, frames: int, out: Path) -> None:
        """Write (frames, 2) int16 rows of opening and width; ``audio``: 16 kHz mono 16-bit WAV."""
        extract_mouth(audio, fps, frames, out)

    def session(self, voice: Path, fps: Fraction, clip: ClipContext) -> "WarpSession":
        """Bind to a voice (from ``extract_voice``) and a clip."""
        return WarpSession(np.load(voice, mmap_mode="r"), clip, self.strength)


class WarpSession:
    """One job's voice and clip; each face depends on itself, its place and the clip's statistics."""

    def __init__(self, voice: np.ndarray, clip: ClipContext, strength: float) -> None:
        self._voice = voice
        self._clip = clip
        self._strength = strength
        self._rest = resting_mouth(clip.mouth)
        self._canvas = _Canvas.make()

    def generate(self, batch: Sequence[FaceWindow]) -> list[np.ndarray]:
        """New faces (F, 512, 512, 3) uint8 RGB for each window; the given arrays stay as they are."""
        return [self._window(window) for window in batch]

    def _window(self, window: FaceWindow) -> np.ndarray:
        faces = window.faces.copy()
        for index, (face, mouth) in enumerate(zip(faces, window.mouth, strict=True)):
            if self._rest is not None and np.isfinite(mouth).all():
                self._speak(face, measure(mouth), *self._sound(window.start + index))
        return faces

    def _sound(self, frame: int) -> tuple[float, float]:
        """Opening and width at an output frame; closed after the voice's end."""
        if frame >= len(self._voice):
            return 0.0, 0.0
        opening, width = decode_mouth(self._voice[frame])
        return float(opening) * self._strength, float(width)

    def _speak(self, face: np.ndarray, own: MouthShape, opening: float, width: float) -> None:
        assert self._rest is not None
        target = target_shape(own, self._rest, opening, width)
        self._canvas.draw(face, own, target, self._interior, self._texture_shift(target))

    def _texture_shift(self, target: MouthShape) -> float:
        """Teeth sit in the skull: how much of them the lowered upper lip hides, in halves of its width."""
        return TEETH_HIDDEN * max(self._widest_gap - float(target.gap / target.half_width), 0)

    @cached_property
    def _widest_gap(self) -> float:
        assert self._rest is not None
        return self._rest.widest_gap if self._rest.widest_gap >= MIN_OWN_GAP else 0.0

    @cached_property
    def _interior(self) -> np.ndarray:
        assert self._rest is not None
        index = self._rest.widest_frame
        face, shape = self._clip.read_face(index), measure(self._clip.mouth[index])
        if self._widest_gap:
            return interior_from_face(face, shape)
        return painted_interior(face[TOP_PX:].reshape(-1, 3).mean(axis=0))


@dataclass(frozen=True)
class _Canvas:
    """The part of an aligned face that may change, and the fixed grids over it."""

    region: np.ndarray  # (H, W) bool inside the box
    fade: np.ndarray  # (H, W) float32, 1 inside, 0 at the region's border
    x: np.ndarray  # (H, W) float32 pixel coordinates
    y: np.ndarray
    grid_x: np.ndarray  # (H / GRID_PX, W / GRID_PX) centres of the grid's cells
    grid_y: np.ndarray
    box: tuple[slice, slice]

    @classmethod
    def make(cls) -> "_Canvas":
        region = generated_region(RESOLUTION_PX)
        region[:TOP_PX] = False
        distance = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5)
        rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
        top, left = TOP_PX, columns[0] // GRID_PX * GRID_PX
        bottom = -(-(rows[-1] + 1) // GRID_PX) * GRID_PX
        right = -(-(columns[-1] + 1) // GRID_PX) * GRID_PX
        box = (slice(top, bottom), slice(left, right))
        y, x = np.mgrid[box].astype(np.float32)
        half = (GRID_PX - 1) / 2
        return cls(
            region=distance[box] > BORDER_PX,
            fade=np.clip((distance[box] - BORDER_PX) / RAMP_PX, 0, 1).astype(np.float32),
            x=x,
            y=y,
            grid_x=x[::GRID_PX, ::GRID_PX] + half,
            grid_y=y[::GRID_PX, ::GRID_PX] + half,
            box=box,
        )

    def draw(
        self, face: np.ndarray, own: MouthShape, target: MouthShape, interior: np.ndarray, shift: float
    ) -> None:
        """Give ``face`` (512, 512, 3), in place, the mouth ``target`` in place of ``own``."""
        u, v = self._mouth_coordinates(target)
        basis = contour_basis(u)
        upper, lower = basis @ target.upper, basis @ target.lower
        across = _across(own, target, u, v)
        up = self._sample(face, own, across, _upper_field(own, target, u, v, upper))
        low = self._sample(face, own, across, _lower_field(own, target, u, v, lower))
        below = self._full(v - (upper + lower) / 2)
        out = _blend(up, low, np.clip(below / 1.5 + 0.5, 0, 1))
        opened = self._full(np.minimum(v - upper, lower - v))
        along = self._full(u)
        cover = np.clip(opened / 2 + 0.5, 0, 1) * np.clip(12 * (1 - np.abs(along)), 0, 1)
        inside = _look_inside(interior, along, self._full((v - upper) / target.half_width), shift)
        out = _blend(out, inside, cover)
        view = face[self.box]
        view[self.region] = out[self.region]

    def _mouth_coordinates(self, shape: MouthShape) -> tuple[np.ndarray, np.ndarray]:
        x, y = self.grid_x - shape.centre[0], self.grid_y - shape.centre[1]
        cos, sin = shape.axis
        return (x * cos + y * sin) / shape.half_width, y * cos - x * sin

    def _full(self, grid: np.ndarray) -> np.ndarray:
        size = (self.x.shape[1], self.x.shape[0])
        return cv2.resize(grid.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)

    def _sample(self, face: np.ndarray, own: MouthShape, across: np.ndarray, down: np.ndarray) -> np.ndarray:
        cos, sin = own.axis
        x = self.x + self.fade * self._full(across * cos - down * sin)
        y = self.y + self.fade * self._full(across * sin + down * cos)
        return cv2.remap(face, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _inset(own: MouthShape, target: MouthShape, u: np.ndarray) -> np.ndarray:
    """How far inside its edge a lip is taken: the more, the more an open mouth is closed."""
    closing = np.maximum(own.gap - target.gap, 0)
    depth = LIP_INSET * own.half_width + CLOSING_INSET * closing
    return depth * (1 - _smoothstep((np.abs(u) - 1) / 0.3))


def _across(own: MouthShape, target: MouthShape, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Way along the mouth to the source pixel: widens or narrows the mouth, cheeks follow."""
    top, bottom = target.upper[0] - target.upper_thickness[0], target.lower[0] + target.lower_thickness[0]
    outside = np.maximum(np.maximum(top - v, v - bottom), 0) / (0.6 * target.half_width)
    near = np.exp(-(outside**2)) * (1 - _smoothstep(np.abs(u) - 1))
    return u * (own.half_width - target.half_width) * near


def _upper_field(
    own: MouthShape, target: MouthShape, u: np.ndarray, v: np.ndarray, contour: np.ndarray
) -> np.ndarray:
    """Way down to the source pixel for the upper lip; fades out towards the nose."""
    own_lip, lip = lip_thickness(u, own.upper_thickness), lip_thickness(u, target.upper_thickness)
    above = contour - v
    into_lip = np.clip(above / (lip + 1e-3), 0, 1)
    way = contour_basis(u) @ (own.upper - target.upper)
    way -= _inset(own, target, u) * (1 - into_lip) + (own_lip - lip) * into_lip
    return way * (1 - _smoothstep((above - lip) / (0.45 * target.half_width)))


def _lower_field(
    own: MouthShape, target: MouthShape, u: np.ndarray, v: np.ndarray, contour: np.ndarray
) -> np.ndarray:
    """Way down to the source pixel for the lower lip, passing into that of the chin."""
    own_lip, lip = lip_thickness(u, own.lower_thickness), lip_thickness(u, target.lower_thickness)
    below = v - contour
    into_lip = np.clip(below / (lip + 1e-3), 0, 1)
    way = contour_basis(u) @ (own.lower - target.lower)
    way += _inset(own, target, u) * (1 - into_lip) + (own_lip - lip) * into_lip
    limit = CHIN_LIMIT * RAMP_PX
    chin = np.clip(own.chin - target.chin, -limit, limit) * np.exp(-((u / 1.4) ** 2))
    reach = max(target.chin - target.lower[0] - target.lower_thickness[0], 0.3 * target.half_width)
    share = _smoothstep((below - lip) / reach)
    return way * (1 - share) + chin * share


def _look_inside(interior: np.ndarray, u: np.ndarray, depth: np.ndarray, shift: float) -> np.ndarray:
    """The interior seen through the opening, shaded by the upper lip and towards the corners."""
    x = (u + 1) * ((COLUMNS - 1) / 2)
    y = (np.maximum(depth, 0) + shift) * ((ROWS - 1) / DEPTH)
    seen = cv2.remap(interior, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    light = (1 - 0.75 * np.exp(-np.maximum(depth, 0) / 0.03)) * (1 - 0.4 * np.minimum(u * u, 1) ** 2)
    return cv2.multiply(seen, cv2.merge([light] * 3), dtype=cv2.CV_8U)


def _blend(under: np.ndarray, over: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return cv2.blendLinear(under, over, 1 - alpha, alpha)
