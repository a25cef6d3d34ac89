"""Where engines want a face to lie."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Alignment:
    """Where the left brow, the right brow and the nose come to lie in the crop, which is 75 x 100 units.

    Points that lie further apart make the face larger. A crop that is resized to the aligned face, as LatentSync does
    it, takes more time than one sampling straight from the frame, and shows a little more detail.
    """

    points: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    through_crop: bool = True


LATENTSYNC_ALIGNMENT = Alignment(((17, 20), (58, 20), (37.5, 40)))
