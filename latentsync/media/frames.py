"""One video frame as planar YUV, the only form in which frames travel through the pipeline.

Nothing here converts a whole frame: only the face region goes through RGB (``region_rgb``), so
everything outside it stays the source's, bit for bit.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

# Kr, Kb of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance).
_LUMA = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}


@dataclass(frozen=True)
class PixelLayout:
    """How samples lie in a raw frame: size in pixels, chroma shifts, bit depth, colour matrix."""

    width: int
    height: int
    chroma_shift_x: int  # log2 of the horizontal subsampling: 1 for 4:2:0 and 4:2:2, 0 for 4:4:4
    chroma_shift_y: int
    bit_depth: int
    matrix: str = "bt709"  # a key of _LUMA
    full_range: bool = False

    @property
    def dtype(self) -> type:
        """Sample type of the planes."""
        return np.uint8 if self.bit_depth == 8 else np.uint16

    @property
    def chroma_width(self) -> int:
        """Width of U and V, rounded up for odd sizes."""
        return -(-self.width >> self.chroma_shift_x)

    @property
    def chroma_height(self) -> int:
        """Height of U and V, rounded up for odd sizes."""
        return -(-self.height >> self.chroma_shift_y)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one raw frame."""
        samples = self.width * self.height + 2 * self.chroma_width * self.chroma_height
        return samples * np.dtype(self.dtype).itemsize

    @cached_property
    def to_rgb(self) -> np.ndarray:
        """(3, 4) float64: code values (y, u, v, 1) -> R, G, B in 0..255."""
        peak = 2**self.bit_depth - 1
        step = 2 ** (self.bit_depth - 8)
        y_low, y_span, c_span = (0, peak, peak) if self.full_range else (16 * step, 219 * step, 224 * step)
        mid = 2 ** (self.bit_depth - 1)
        kr, kb = _LUMA[self.matrix]
        kg = 1 - kr - kb
        rows = np.array([[1, 0, 2 - 2 * kr], [1, -kb * (2 - 2 * kb) / kg, -kr * (2 - 2 * kr) / kg], [1, 2 - 2 * kb, 0]])
        scale = 255 * rows / np.array([y_span, c_span, c_span])
        offset = -scale @ np.array([y_low, mid, mid])
        return np.hstack([scale, offset[:, None]])

    @cached_property
    def from_rgb(self) -> np.ndarray:
        """(3, 4) float64: R, G, B in 0..255 and 1 -> code values y, u, v."""
        inverse = np.linalg.inv(self.to_rgb[:, :3])
        return np.hstack([inverse, -inverse @ self.to_rgb[:, 3:]])


@dataclass(frozen=True)
class Frame:
    """Planes y (H, W), u and v (H', W'); uint8, or uint16 with ``bit_depth`` used low bits."""

    y: np.ndarray
    u: np.ndarray
    v: np.ndarray
    layout: PixelLayout

    @classmethod
    def from_buffer(cls, buffer: np.ndarray, layout: PixelLayout) -> "Frame":
        """View a flat uint8 buffer of ``layout.frame_bytes`` as planes, without copying."""
        samples = buffer.view(layout.dtype)
        luma, chroma = layout.width * layout.height, layout.chroma_width * layout.chroma_height
        shape = (layout.chroma_height, layout.chroma_width)
        return cls(
            y=samples[:luma].reshape(layout.height, layout.width),
            u=samples[luma : luma + chroma].reshape(shape),
            v=samples[luma + chroma :].reshape(shape),
            layout=layout,
        )

    def copy(self) -> "Frame":
        """A frame with planes of its own."""
        return Frame(self.y.copy(), self.u.copy(), self.v.copy(), self.layout)

    def planes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """y, u, v."""
        return self.y, self.u, self.v


def region_rgb(frame: Frame, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """RGB (bottom-top, right-left, 3) uint8 of a region inside the frame.

    ``left`` and ``top`` must be even (aligned to the chroma grid); chroma is upsampled bilinearly.
    """
    layout = frame.layout
    sx, sy = layout.chroma_shift_x, layout.chroma_shift_y
    y = frame.y[top:bottom, left:right]
    size = (y.shape[1], y.shape[0])
    chroma = (slice(top >> sy, -(-bottom >> sy)), slice(left >> sx, -(-right >> sx)))
    u, v = (_upsample(plane[chroma], sx, sy, size) for plane in (frame.u, frame.v))
    yuv = cv2.merge([y, u, v])
    rgb = cv2.transform(yuv.astype(np.float32), layout.to_rgb.astype(np.float32))
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _upsample(plane: np.ndarray, shift_x: int, shift_y: int, size: tuple[int, int]) -> np.ndarray:
    if not shift_x and not shift_y:
        return plane
    full = cv2.resize(plane, (plane.shape[1] << shift_x, plane.shape[0] << shift_y), interpolation=cv2.INTER_LINEAR)
    return full[: size[1], : size[0]]
