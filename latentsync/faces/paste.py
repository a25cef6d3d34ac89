"""Paste-back: a generated face blended into its source frame, in YUV and only inside its own region."""

import cv2
import numpy as np

from latentsync.faces.align import Region, aligned_matrix, crop_size, face_region, moved
from latentsync.faces.alignment import LATENTSYNC_ALIGNMENT, Alignment
from latentsync.media.frames import Frame

SEAM_PX = 2  # eroded from the crop's edge, where bilinear sampling mixes in the outside
EDGES_PER_SIDE = 20  # the soft edge is 1/20 of the side of a square of the face's area
FINE_EDGE_PX = 12  # a blur this wide or wider can be halved in scale without a visible difference
TO_FRAME = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP  # what ``matrix`` maps to the crop, the other way
SAMPLE_TYPES = {np.dtype(np.uint8): cv2.CV_8U, np.dtype(np.uint16): cv2.CV_16U}


class FacePaster:
    """Pastes aligned faces of one resolution; LatentSync's restoration, without leaving YUV."""

    def __init__(self, resolution: int, alignment: Alignment = LATENTSYNC_ALIGNMENT) -> None:
        self.resolution = resolution
        self.alignment = alignment

    def paste(self, frame: Frame, face: np.ndarray, matrix: np.ndarray, opacity: float = 1.0) -> Frame:
        """A new frame with ``face`` (R, R, 3) uint8 RGB where ``matrix`` (2, 3) found the old one.

        ``opacity`` 0..1 leaves more or less of the old face.

        Samples where the soft mask is 0, and all outside the face's region, keep their bits.
        """
        layout = frame.layout
        region = face_region(matrix, self.resolution, layout.width, layout.height)
        rgb, alpha = self._placed(face, matrix, region)
        alpha = alpha * np.float32(opacity)
        colours = cv2.split(cv2.transform(rgb.astype(np.float32), layout.from_rgb.astype(np.float32)))
        pasted = frame.copy()
        shifts = [(0, 0), *[(layout.chroma_shift_x, layout.chroma_shift_y)] * 2]
        for plane, colour, (x, y) in zip(pasted.planes(), colours, shifts, strict=True):
            part = plane[region.top >> y : -(-region.bottom >> y), region.left >> x : -(-region.right >> x)]
            part[:] = _blend(part, _block_mean(colour, x, y), _block_mean(alpha, x, y))
        return pasted

    def _placed(self, face: np.ndarray, matrix: np.ndarray, region: Region) -> tuple[np.ndarray, np.ndarray]:
        if self.alignment.through_crop:
            return warped_face(crop_of(face), matrix, region)
        mask = soft_mask(crop_size(self.resolution), matrix, region)
        return _in_region(face, aligned_matrix(matrix, self.resolution), region), mask


def crop_of(face: np.ndarray) -> np.ndarray:
    """Aligned face (R, R, 3) uint8 -> crop, bicubic and antialiased (the crop is narrower)."""
    from torch import from_numpy
    from torch.nn.functional import interpolate

    width, height = crop_size(len(face))
    image = from_numpy(np.require(face, requirements=["C", "W"])).permute(2, 0, 1)[None]
    crop = interpolate(image, (height, width), mode="bicubic", antialias=True)
    return cv2.merge(list(crop[0].numpy()))


def warped_face(crop: np.ndarray, matrix: np.ndarray, region: Region) -> tuple[np.ndarray, np.ndarray]:
    """The crop (H, W, 3) as it lies in ``region`` of the frame, and the soft mask to blend it with.

    Returns RGB (h, w, 3) of the crop's type and alpha (h, w) float32 in 0..1.
    """
    return _in_region(crop, matrix, region), soft_mask(crop.shape[1::-1], matrix, region)


def soft_mask(size: tuple[int, ...], matrix: np.ndarray, region: Region) -> np.ndarray:
    """The mask (h, w) float32 in 0..1 that blends a crop of ``size`` (width, height) into ``region``."""
    crop = np.full(size[::-1], 255, np.uint8)
    inside = cv2.warpAffine(crop, moved(matrix, region), (region.width, region.height), flags=TO_FRAME)
    return _faded(cv2.erode(inside, np.ones((SEAM_PX, SEAM_PX), np.uint8)))


def _in_region(picture: np.ndarray, matrix: np.ndarray, region: Region) -> np.ndarray:
    """The region's pixels (h, w, 3) of a picture that ``matrix`` maps source pixels to."""
    size = (region.width, region.height)
    return cv2.warpAffine(picture, moved(matrix, region), size, flags=TO_FRAME, borderMode=cv2.BORDER_REPLICATE)


def _faded(inside: np.ndarray) -> np.ndarray:
    """Erode a mask (h, w) uint8 and blur it, so that it fades to 0 before its edge: float32 in 0..1.

    Widths are the reference's. Wide blurs are done at a coarser scale, to within 0.01.
    """
    height, width = inside.shape
    edge = max(1, int(np.sqrt(inside.sum() / 255)) // EDGES_PER_SIDE)
    coarse = max(1, edge // FINE_EDGE_PX)
    core = cv2.erode(inside, np.ones((2 * edge, 2 * edge), np.uint8))
    small = cv2.resize(core, (width // coarse, height // coarse), interpolation=cv2.INTER_AREA)
    blur = 2 * (edge // coarse) + 1
    sigma = (0.3 * (edge - 1) + 0.8) / coarse
    soft = cv2.GaussianBlur(small.astype(np.float32) / 255, (blur, blur), sigma)
    return cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)


def _block_mean(plane: np.ndarray, shift_x: int, shift_y: int) -> np.ndarray:
    """Mean over each chroma block of a full-resolution plane; odd edges are repeated."""
    if not shift_x and not shift_y:
        return plane
    height, width = plane.shape
    odd = (-height % (1 << shift_y), -width % (1 << shift_x))
    if any(odd):
        plane = cv2.copyMakeBorder(plane, 0, odd[0], 0, odd[1], cv2.BORDER_REPLICATE)
    size = (plane.shape[1] >> shift_x, plane.shape[0] >> shift_y)
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA)


def _blend(old: np.ndarray, new: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """old + alpha (new - old), rounded; exactly ``old`` where alpha is 0."""
    change = cv2.multiply(cv2.subtract(new, old, dtype=cv2.CV_32F), alpha)
    return cv2.add(old, change, dtype=SAMPLE_TYPES[old.dtype])
