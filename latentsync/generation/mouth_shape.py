"""The mouth as a few numbers: measured on a frame, at rest over a clip, wanted for a sound.

Lengths are in aligned pixels. ``u`` runs along the line between the inner corners of the lips, -1 and 1
at the corners; ``v`` is the distance from that line in pixels, positive towards the chin.
"""

from dataclasses import dataclass

import numpy as np

OUTER, INNER, JAW = slice(0, 20), slice(20, 40), slice(40, 61)
_LOWER, _UPPER = np.arange(0, 11), np.array([0, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10])

CONTOUR_TERMS = 4  # of (1 - u^2) * polynomial: an inner lip contour, 0 at both corners
LINE_FROM_UPPER = 0.25  # closing lips meet here between the upper (0) and the lower (1) one
UPPER_SHARE = 0.2  # of the opening that the upper lip makes; the jaw makes the rest
CHIN_SHARE = 0.75  # of the lower lip's way that the chin goes along
REST_WEIGHT = 0.75  # of the clip's mouth at rest in the target; the remainder is the frame's own
SPREAD_GAIN, OPEN_GAIN = 0.07, -0.04  # relative change of the mouth's width
STATISTICS_FRAMES = 4096  # evenly spread over the clip
OPENING_PERCENTILE = 90
OPENING_LIMITS = (0.28, 0.70)  # of half the mouth's width


@dataclass(frozen=True)
class MouthShape:
    """One mouth, or with a leading axis N on every array many."""

    centre: np.ndarray  # (2,) x, y
    axis: np.ndarray  # (2,) unit vector from the left corner to the right one
    half_width: np.ndarray  # ()
    upper: np.ndarray  # (CONTOUR_TERMS,) inner contour of the upper lip
    lower: np.ndarray  # (CONTOUR_TERMS,)
    upper_thickness: np.ndarray  # ()
    lower_thickness: np.ndarray  # ()
    chin: np.ndarray  # () v of the chin
    face_width: np.ndarray  # () ear to ear: scale and yaw, whatever the mouth does

    @property
    def gap(self) -> np.ndarray:
        """Distance of the inner contours in the middle."""
        return self.lower[..., 0] - self.upper[..., 0]


@dataclass(frozen=True)
class RestingMouth:
    """A clip's mouth at rest, relative to the face, and how far it opens."""

    half_width: float  # of the face's width
    line: np.ndarray  # (CONTOUR_TERMS,) of half the mouth's width
    opening: float  # of half the mouth's width, at opening 1
    widest_frame: int  # source frame with the mouth wide open
    widest_gap: float  # of half the mouth's width


def contour_basis(u: np.ndarray) -> np.ndarray:
    """(..., CONTOUR_TERMS) values of the contour's terms at ``u``; 0 beyond the corners."""
    return np.maximum(1 - u * u, 0)[..., None] * u[..., None] ** np.arange(CONTOUR_TERMS)


def measure(mouth: np.ndarray) -> MouthShape:
    """Landmarks (..., 61, 2) in the order of ``faces.points.MOUTH_POINTS`` -> shapes."""
    mouth = mouth.astype(np.float64)
    left, right = mouth[..., 20, :], mouth[..., 30, :]
    width = np.maximum(np.linalg.norm(right - left, axis=-1), 1.0)
    axis = (right - left) / width[..., None]
    centre, half = (left + right) / 2, width / 2
    normal = np.stack([-axis[..., 1], axis[..., 0]], axis=-1)
    offset = mouth - centre[..., None, :]
    u = np.einsum("...kc,...c->...k", offset, axis) / half[..., None]
    v = np.einsum("...kc,...c->...k", offset, normal)
    inner_u, inner_v, outer_v = u[..., INNER], v[..., INNER], v[..., OUTER]
    upper = _fit_contour(inner_u[..., _UPPER], inner_v[..., _UPPER])
    lower = _fit_contour(inner_u[..., _LOWER], inner_v[..., _LOWER])
    crossed = np.minimum(lower[..., 0] - upper[..., 0], 0) / 2
    upper[..., 0] += crossed
    lower[..., 0] -= crossed
    jaw = mouth[..., JAW, :]
    return MouthShape(
        centre=centre,
        axis=axis,
        half_width=half,
        upper=upper,
        lower=lower,
        upper_thickness=np.maximum(upper[..., 0] - outer_v[..., 14:17].mean(-1), 0.04 * half),
        lower_thickness=np.maximum(outer_v[..., 4:7].mean(-1) - lower[..., 0], 0.06 * half),
        chin=v[..., 50],
        face_width=np.linalg.norm(jaw[..., 20, :] - jaw[..., 0, :], axis=-1),
    )


def _fit_contour(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Least squares over the points between the corners; smooths the landmarks' noise along the lip."""
    basis = contour_basis(np.clip(u[..., 1:-1], -0.98, 0.98))
    return (np.linalg.pinv(basis) @ v[..., 1:-1, None])[..., 0]


def resting_mouth(mouth: np.ndarray) -> RestingMouth | None:
    """Statistics over all source frames (M, 61, 2), NaN where there is no face; None: no face at all."""
    step = max(1, len(mouth) // STATISTICS_FRAMES)
    sample = np.asarray(mouth[::step])
    seen = np.flatnonzero(np.isfinite(sample).all(axis=(1, 2)))
    if not len(seen):
        return None
    shapes = measure(sample[seen])
    gap = shapes.gap / shapes.half_width
    line = shapes.upper + LINE_FROM_UPPER * (shapes.lower - shapes.upper)
    widest = int(np.argmin(np.abs(gap - np.percentile(gap, 98))))
    return RestingMouth(
        half_width=float(np.median(shapes.half_width / shapes.face_width)),
        line=np.median(line / shapes.half_width[:, None], axis=0),
        opening=float(np.clip(np.percentile(gap, OPENING_PERCENTILE), *OPENING_LIMITS)),
        widest_frame=int(seen[widest]) * step,
        widest_gap=float(gap[widest]),
    )


def target_shape(own: MouthShape, rest: RestingMouth, opening: float, width: float) -> MouthShape:
    """The mouth that the frame shall show: absolute, but for a remainder of its own pose.

    ``opening`` 0 closes the lips (upper and lower contour are the same), 1 opens them as far as the
    clip's own; ``width`` -1 (rounded) .. 1 (spread).
    """
    neutral = rest.half_width * own.face_width * (1 + SPREAD_GAIN * width + OPEN_GAIN * opening)
    half = REST_WEIGHT * neutral + (1 - REST_WEIGHT) * own.half_width
    own_line = own.upper + LINE_FROM_UPPER * (own.lower - own.upper)
    line = half * (REST_WEIGHT * rest.line + (1 - REST_WEIGHT) * own_line / own.half_width)
    gap = np.zeros(CONTOUR_TERMS)
    gap[0] = opening * rest.opening * rest.half_width * own.face_width
    lower = line + (1 - UPPER_SHARE) * gap
    return MouthShape(
        centre=own.centre,
        axis=own.axis,
        half_width=half,
        upper=line - UPPER_SHARE * gap,
        lower=lower,
        upper_thickness=own.upper_thickness,
        lower_thickness=own.lower_thickness,
        chin=own.chin + CHIN_SHARE * (lower[0] - own.lower[0]),
        face_width=own.face_width,
    )
