"""Draw a target mouth into an aligned face: two warps that meet at the lips, and what opens between."""

from dataclasses import dataclass

import cv2
import numpy as np

from latentsync.engines.keep_mask import generated_region
from latentsync.engines.warp.mouth_fields import across_field, lower_field, upper_field
from latentsync.engines.warp.mouth_interior import Interior
from latentsync.engines.warp.mouth_shape import MouthShape, contour

GRID_PX = 4  # spacing of the grid on which the fields are computed
TOP = 240 / 512  # of the face: nothing above moves
BORDER = 3 / 512  # of the face: rim of the generated region that stays the source's
RAMP = 36 / 512  # of the face: displacements fade to 0 over this way to the region's border
CHIN_LIMIT = 0.6  # of the ramp: how far the chin may move, so that no skin folds
SEAM_PX = 1.5  # width of the transition between the lips
CORNER_TAPER = 12.0  # the interior ends this steeply at the corners, per u
OPENING_EDGE_PX = 2.0  # width of the transition between lips and interior


@dataclass(frozen=True)
class WarpCanvas:
    """The part of an aligned face that may change, and the fixed grids over it."""

    box: tuple[slice, slice]  # rows, columns of the face; (H, W) multiples of GRID_PX
    region: np.ndarray  # (H, W) uint8: 1 where pixels may change
    fade: np.ndarray  # (H, W) float32, 1 inside, 0 at the region's border
    x: np.ndarray  # (H, W) float32 pixel coordinates
    y: np.ndarray
    grid_x: np.ndarray  # (H / GRID_PX, W / GRID_PX) float32, centres of the grid's cells
    grid_y: np.ndarray
    chin_limit_px: float

    @classmethod
    def of_size(cls, resolution_px: int) -> "WarpCanvas":
        """The canvas of faces (R, R)."""
        region = generated_region(resolution_px)
        region[: round(TOP * resolution_px)] = False
        count = resolution_px // GRID_PX
        cells = region.reshape(count, GRID_PX, count, GRID_PX).any(axis=(1, 3))
        box = (_span(np.any(cells, axis=1)), _span(np.any(cells, axis=0)))
        distance = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[box]
        inside = distance - BORDER * resolution_px
        y, x = np.mgrid[box].astype(np.float32)
        middle = (GRID_PX - 1) / 2
        return cls(
            box=box,
            region=(inside > 0).astype(np.uint8),
            fade=np.clip(inside / (RAMP * resolution_px), 0, 1).astype(np.float32),
            x=x,
            y=y,
            grid_x=x[::GRID_PX, ::GRID_PX] + middle,
            grid_y=y[::GRID_PX, ::GRID_PX] + middle,
            chin_limit_px=CHIN_LIMIT * RAMP * resolution_px,
        )

    def draw(self, face: np.ndarray, own: MouthShape, target: MouthShape, interior: Interior) -> None:
        """Give ``face`` (R, R, 3) uint8, in place, the mouth ``target`` instead of its ``own``."""
        u, v = self._mouth_coordinates(target)
        drawn = self._carry_skin(face, own, target, u, v)
        self._open_mouth(drawn, target, u, v, interior)
        cv2.copyTo(drawn, self.region, face[self.box])

    def _carry_skin(
        self, face: np.ndarray, own: MouthShape, target: MouthShape, u: np.ndarray, v: np.ndarray
    ) -> np.ndarray:
        """Both warps, (H, W, 3) uint8: the lower one below the line between the lips."""
        across = across_field(own, target, u, v)
        up, low = upper_field(own, target, u, v), lower_field(own, target, u, v, self.chin_limit_px)
        rows = _mouth_rows(target, u, v)
        above = self._sample(face, own, across, up, slice(0, rows.stop))
        below = self._sample(face, own, across, low, slice(rows.start, None))
        line = contour(u, (target.upper + target.lower) / 2)
        height = rows.stop - rows.start
        seam = _blend(above[rows], below[:height], _edge(_full(v - line, rows), SEAM_PX))
        return np.concatenate([above[: rows.start], seam, below[height:]])

    def _open_mouth(
        self, drawn: np.ndarray, target: MouthShape, u: np.ndarray, v: np.ndarray, interior: Interior
    ) -> None:
        """Put the interior between the lips of ``drawn``; closed lips keep a dark line."""
        place = (_mouth_rows(target, u, v), _span(np.any(np.abs(u) < 1, axis=0)))
        depth = _full((v - contour(u, target.upper)) / target.half_width, *place)
        gap = _full(contour(u, target.lower - target.upper) / target.half_width, *place)
        along, opened = _full(u, *place), _full(_opened(target, u, v), *place)
        cover = _edge(opened, OPENING_EDGE_PX) * np.clip(CORNER_TAPER * (1 - np.abs(along)), 0, 1)
        inside = interior.look(along, depth, gap, float(target.gap / target.half_width))
        drawn[place] = _blend(drawn[place], inside, cover)

    def _mouth_coordinates(self, shape: MouthShape) -> tuple[np.ndarray, np.ndarray]:
        x, y = self.grid_x - shape.centre[0], self.grid_y - shape.centre[1]
        cos, sin = shape.axis
        return (x * cos + y * sin) / shape.half_width, y * cos - x * sin

    def _sample(
        self, face: np.ndarray, own: MouthShape, across: np.ndarray, down: np.ndarray, rows: slice
    ) -> np.ndarray:
        cos, sin = own.axis
        x = self.x[rows] + self.fade[rows] * _full(across * cos - down * sin, rows)
        y = self.y[rows] + self.fade[rows] * _full(across * sin + down * cos, rows)
        return cv2.remap(face, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _opened(target: MouthShape, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Pixels from the nearer lip: above 0 inside the opening, 0 at its edges, negative outside."""
    return np.minimum(v - contour(u, target.upper), contour(u, target.lower) - v)


def _mouth_rows(target: MouthShape, u: np.ndarray, v: np.ndarray) -> slice:
    """Rows of pixels that the opening, or the line that goes on from its corners, passes through."""
    return _span(np.any(_opened(target, u, v) > -2 * GRID_PX, axis=1))


def _span(hit: np.ndarray) -> slice:
    """Pixels of the grid's rows (or columns) from the first hit to the last."""
    cells = np.flatnonzero(hit)
    return slice(int(cells[0]) * GRID_PX, (int(cells[-1]) + 1) * GRID_PX) if len(cells) else slice(0, GRID_PX)


def _full(grid: np.ndarray, rows: slice = slice(None), columns: slice = slice(None)) -> np.ndarray:
    """Values of the grid at the pixels of ``rows`` and ``columns``."""
    size = (grid.shape[1] * GRID_PX, grid.shape[0] * GRID_PX)
    return cv2.resize(grid.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)[rows, columns]


def _edge(distance: np.ndarray, width_px: float) -> np.ndarray:
    """Coverage 0..1 of what begins at ``distance`` 0, antialiased over ``width_px``."""
    return np.clip(distance / width_px + 0.5, 0, 1)


def _blend(under: np.ndarray, over: np.ndarray, cover: np.ndarray) -> np.ndarray:
    under, over = np.ascontiguousarray(under), np.ascontiguousarray(over)
    return cv2.blendLinear(under, over, 1 - cover, cover)
