"""The mouth as a few numbers: measured on a frame, at rest over a clip, wanted for a sound.

Lengths are in aligned pixels. ``u`` runs along the line between the inner corners of the lips, -1 and 1
at the corners; ``v`` is the distance from that line in pixels, positive towards the chin.
"""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.polynomial import polyval, polyvander

from latentsync.storage.mapped import every

OUTER, INNER = slice(0, 20), slice(20, 40)  # of the 61 points
LEFT_CORNER, RIGHT_CORNER, LEFT_EAR, CHIN, RIGHT_EAR = 20, 30, 40, 50, 60
_LOWER, _UPPER = np.arange(0, 11), np.array([0, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10])

CONTOUR_TERMS = 4  # of (1 - u^2) * polynomial: an inner lip contour, 0 at both corners
THICKNESS_TERMS = 3  # of a polynomial: how far the outer contour of a lip is from the inner one
LINE_FROM_UPPER = 0.25  # closing lips meet here between the upper (0) and the lower (1) one
UPPER_SHARE = 0.2  # of the opening that the upper lip makes; the jaw makes the rest
CHIN_SHARE = 0.75  # of the lower lip's way that the chin goes along
REST_WEIGHT = 0.75  # of the clip's mouth at rest in the target; the remainder is the frame's own
SPREAD_GAIN, OPEN_GAIN = 0.07, -0.04  # relative change of the mouth's width
STATISTICS_FRAMES = 4096  # evenly spread over the clip
OPENING_PERCENTILE = 90
LOUD_OPENING = 0.65  # of the voice: a loud vowel, shown as the clip's OPENING_PERCENTILE
CLOSED_PERCENTILE = 25  # the thickness of resting lips is taken from the clip's narrowest gaps
OPENING_LIMITS = (0.28, 0.70)  # of half the mouth's width


@dataclass(frozen=True)
class MouthShape:
    """One mouth, or with a leading axis N on every array many."""

    centre: np.ndarray  # (2,) x, y
    axis: np.ndarray  # (2,) unit vector from the left corner to the right one
    half_width: np.ndarray  # ()
    upper: np.ndarray  # (CONTOUR_TERMS,) inner contour of the upper lip
    lower: np.ndarray  # (CONTOUR_TERMS,)
    upper_thickness: np.ndarray  # (THICKNESS_TERMS,)
    lower_thickness: np.ndarray  # (THICKNESS_TERMS,)
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
    upper_thickness: np.ndarray  # (THICKNESS_TERMS,) of half the mouth's width
    lower_thickness: np.ndarray  # (THICKNESS_TERMS,) of half the mouth's width
    opening: float  # of half the mouth's width, at opening 1
    widest_frame: int  # source frame with the mouth wide open
    widest_gap: float  # of half the mouth's width


def contour(u: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """v of an inner lip contour at ``u``; 0 beyond the corners."""
    return np.maximum(1 - u * u, 0) * polyval(u, terms)


def lip_thickness(u: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """Vertical thickness of a lip at ``u``; tapers off just beyond the corners."""
    return np.clip((1.15 - np.abs(u)) / 0.2, 0, 1) * np.maximum(polyval(u, terms), 0)


def measure(mouth: np.ndarray) -> MouthShape:
    """Landmarks (..., 61, 2) in the order of ``faces.points.MOUTH_POINTS`` -> shapes."""
    mouth = mouth.astype(np.float64)
    left, right = mouth[..., LEFT_CORNER, :], mouth[..., RIGHT_CORNER, :]
    width = np.maximum(np.linalg.norm(right - left, axis=-1), 1.0)
    axis = (right - left) / width[..., None]
    centre, half = (left + right) / 2, width / 2
    normal = np.stack([-axis[..., 1], axis[..., 0]], axis=-1)
    offset = mouth - centre[..., None, :]
    u = np.einsum("...kc,...c->...k", offset, axis) / half[..., None]
    v = np.einsum("...kc,...c->...k", offset, normal)
    inner_u, inner_v, outer_u, outer_v = u[..., INNER], v[..., INNER], u[..., OUTER], v[..., OUTER]
    upper = _fit_contour(inner_u[..., _UPPER], inner_v[..., _UPPER])
    lower = _fit_contour(inner_u[..., _LOWER], inner_v[..., _LOWER])
    crossed = np.minimum(lower[..., 0] - upper[..., 0], 0) / 2
    upper[..., 0] += crossed
    lower[..., 0] -= crossed
    fields = {
        "centre": centre,
        "axis": axis,
        "half_width": half,
        "upper": upper,
        "lower": lower,
        "upper_thickness": _fit_thickness(outer_u[..., _UPPER], -outer_v[..., _UPPER], -upper),
        "lower_thickness": _fit_thickness(outer_u[..., _LOWER], outer_v[..., _LOWER], lower),
        "chin": v[..., CHIN],
        "face_width": np.linalg.norm(mouth[..., RIGHT_EAR, :] - mouth[..., LEFT_EAR, :], axis=-1),
    }
    return MouthShape(**{name: value.astype(np.float32) for name, value in fields.items()})


def _fit_contour(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Least squares over the points between the corners; smooths the landmarks' noise along the lip."""
    return _solve(_contour_basis(np.clip(u[..., 1:-1], -0.98, 0.98)), v[..., 1:-1])


def _fit_thickness(u: np.ndarray, v: np.ndarray, inner: np.ndarray) -> np.ndarray:
    u, v = u[..., 1:-1], v[..., 1:-1]
    inner_v = (_contour_basis(u) @ inner[..., None])[..., 0]
    return _solve(polyvander(u, THICKNESS_TERMS - 1), v - inner_v)


def _contour_basis(u: np.ndarray) -> np.ndarray:
    return np.maximum(1 - u * u, 0)[..., None] * polyvander(u, CONTOUR_TERMS - 1)


def _solve(basis: np.ndarray, values: np.ndarray) -> np.ndarray:
    return (np.linalg.pinv(basis) @ values[..., None])[..., 0]


def resting_mouth(mouth: np.ndarray) -> RestingMouth | None:
    """Statistics over all source frames (M, 61, 2), NaN where there is no face; None: no face at all."""
    step = max(1, len(mouth) // STATISTICS_FRAMES)
    sample = every(mouth, step)
    seen = np.flatnonzero(np.isfinite(sample).all(axis=(1, 2)))
    if not len(seen):
        return None
    shapes = measure(sample[seen])
    half = shapes.half_width[:, None]
    gap = shapes.gap / shapes.half_width
    line = shapes.upper + LINE_FROM_UPPER * (shapes.lower - shapes.upper)
    closed = gap <= np.percentile(gap, CLOSED_PERCENTILE)
    widest = int(np.argmin(np.abs(gap - np.percentile(gap, 98))))
    return RestingMouth(
        half_width=float(np.median(shapes.half_width / shapes.face_width)),
        line=np.median(line / half, axis=0),
        upper_thickness=np.median((shapes.upper_thickness / half)[closed], axis=0),
        lower_thickness=np.median((shapes.lower_thickness / half)[closed], axis=0),
        opening=float(np.clip(np.percentile(gap, OPENING_PERCENTILE), *OPENING_LIMITS)) / LOUD_OPENING,
        widest_frame=int(seen[widest]) * step,
        widest_gap=float(gap[widest]),
    )


def target_shape(own: MouthShape, rest: RestingMouth, opening: float, width: float) -> MouthShape:
    """The mouth that the frame shall show: absolute, but for a remainder of its own pose.

    ``opening`` 0 closes the lips (upper and lower contour are the same), 1 opens them as far as the
    clip's own; ``width`` -1 (rounded) .. 1 (spread).
    """
    neutral = rest.half_width * own.face_width * (1 + SPREAD_GAIN * width + OPEN_GAIN * opening)
    half = _mix(neutral, own.half_width)
    own_line = own.upper + LINE_FROM_UPPER * (own.lower - own.upper)
    line = half * _mix(rest.line, own_line / own.half_width)
    gap = np.zeros(CONTOUR_TERMS, np.float32)
    gap[0] = opening * rest.opening * rest.half_width * own.face_width
    lower = line + (1 - UPPER_SHARE) * gap
    return MouthShape(
        centre=own.centre,
        axis=own.axis,
        half_width=half,
        upper=line - UPPER_SHARE * gap,
        lower=lower,
        upper_thickness=_mix(half * rest.upper_thickness, own.upper_thickness),
        lower_thickness=_mix(half * rest.lower_thickness, own.lower_thickness),
        chin=own.chin + CHIN_SHARE * (lower[0] - own.lower[0]),
        face_width=own.face_width,
    )


def _mix(rest: np.ndarray, own: np.ndarray) -> np.ndarray:
    return REST_WEIGHT * rest + (1 - REST_WEIGHT) * own
