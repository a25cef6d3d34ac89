"""What a paste does to the picture, measured against the source's frames: seam, sharpness, flicker."""

import cv2
import numpy as np

from latentsync.faces.align import Region, crop_size, face_region
from latentsync.faces.paste import soft_mask
from latentsync.media.frames import Frame

EDGE = (0.05, 0.95)  # the mask's fade, in which a seam lies
MOUTH_MARGIN = 0.35  # of the mouth's size, around it: what speech moves
LEAST_GRADIENT = 1e-3


class Texture:
    """Running means over consecutive frames; each figure is None until something was added."""

    def __init__(self, resolution: int) -> None:
        self.resolution = resolution
        self._seams: list[float] = []
        self._sharpness: list[float] = []
        self._changes: list[float] = []
        self._before: tuple[Region, np.ndarray] | None = None

    def face(self, frame: Frame, matrix: np.ndarray) -> np.ndarray:
        """What is compared of a frame: the luma around its face, a copy of 8 or 16 bits."""
        return _part(frame, self._region(frame, matrix)).copy()

    def add(self, original: np.ndarray, result: Frame, matrix: np.ndarray, mouth: np.ndarray) -> None:
        """A frame's ``face`` in the source, and the frame after the paste; ``mouth`` (K, 2) are the source's lips."""
        region = self._region(result, matrix)
        old, new = (_luma(part, result) for part in (original, _part(result, region)))
        alpha = soft_mask(crop_size(self.resolution), matrix, region)
        edge, lips = (alpha > EDGE[0]) & (alpha < EDGE[1]), _lips(mouth, region)
        self._seams.append(_ratio(_gradient(new)[edge].mean(), _gradient(old)[edge].mean()))
        self._sharpness.append(_ratio(_detail(new[lips]), _detail(old[lips])))
        self._add_change(region, new - old, (alpha >= EDGE[1]), lips)

    def _region(self, frame: Frame, matrix: np.ndarray) -> Region:
        return face_region(matrix, self.resolution, frame.layout.width, frame.layout.height)

    def _add_change(self, region: Region, difference: np.ndarray, inside: np.ndarray, lips: tuple) -> None:
        """How much what the paste adds differs from frame to frame, beside the mouth."""
        whole = np.full_like(difference, np.nan)
        whole[inside] = difference[inside]
        whole[lips] = np.nan
        if self._before:
            other, before = self._before
            here, there = _shared(region, other)
            change = np.abs(whole[here] - before[there])
            if np.isfinite(change).any():
                self._changes.append(float(np.nanmean(change)))
        self._before = region, whole

    @property
    def seam(self) -> float | None:
        """Gradient in the paste's edge over that of the source there: 1 cannot be seen."""
        return _mean(self._seams)

    @property
    def sharpness(self) -> float | None:
        """Fine detail of the mouth's surroundings over the source's: below 1 it is blurred."""
        return _mean(self._sharpness)

    @property
    def flicker(self) -> float | None:
        """Change from frame to frame that the source has not, beside the mouth: mean grey levels of 255."""
        return _mean(self._changes)


def _part(frame: Frame, region: Region) -> np.ndarray:
    return frame.y[region.top : region.bottom, region.left : region.right]


def _luma(part: np.ndarray, frame: Frame) -> np.ndarray:
    return part.astype(np.float32) / 2 ** (frame.layout.bit_depth - 8)


def _lips(mouth: np.ndarray, region: Region) -> tuple[slice, slice]:
    """The mouth and its surroundings, in the region."""
    low, high = mouth.min(axis=0), mouth.max(axis=0)
    margin = MOUTH_MARGIN * (high - low).max()
    left, top = np.floor(low - margin).astype(int) - (region.left, region.top)
    right, bottom = np.ceil(high + margin).astype(int) - (region.left, region.top)
    return slice(max(top, 0), max(bottom, 1)), slice(max(left, 0), max(right, 1))


def _gradient(luma: np.ndarray) -> np.ndarray:
    return cv2.magnitude(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1))


def _detail(luma: np.ndarray) -> float:
    """Standard deviation of the Laplacian: the usual measure of focus (Pech-Pacheco et al., ICPR 2000)."""
    return float(cv2.Laplacian(luma, cv2.CV_32F).std())


def _ratio(new: float, old: float) -> float:
    return float(new / max(old, LEAST_GRADIENT))


def _shared(one: Region, other: Region) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The pixels that both regions cover, counted in each of them."""
    left, top = max(one.left, other.left), max(one.top, other.top)
    right, bottom = max(left, min(one.right, other.right)), max(top, min(one.bottom, other.bottom))
    here, there = (
        (slice(top - each.top, bottom - each.top), slice(left - each.left, right - each.left)) for each in (one, other)
    )
    return here, there


def _mean(figures: list[float]) -> float | None:
    return float(np.mean(figures)) if figures else None
