"""Where engines want a face to lie."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Alignment:
    """Where the left brow, the right brow and the nose come to lie in the crop, which is 75 x 100 units.

    Points that lie further apart make the face larger.
    """

    points: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


LATENTSYNC_ALIGNMENT = Alignment(((17, 20), (58, 20), (37.5, 40)))
