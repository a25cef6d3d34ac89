from dataclasses import replace

import numpy as np
import pytest

from latentsync.faces import paste
from latentsync.faces.align import align_face, face_region
from latentsync.faces.alignment import LATENTSYNC_ALIGNMENT
from latentsync.faces.paste import FacePaster, crop_of, warped_face
from latentsync.media.frames import Frame
from tests.unit.faces.face_scene import face_matrix

LOUD = np.full((512, 512, 3), (255, 0, 160), np.uint8)


def soft_mask(frame: Frame, matrix: np.ndarray) -> np.ndarray:
    """Alpha over the whole frame."""
    region = face_region(matrix, 512, frame.layout.width, frame.layout.height)
    alpha = np.zeros((frame.layout.height, frame.layout.width), np.float32)
    alpha[region.top : region.bottom, region.left : region.right] = warped_face(crop_of(LOUD), matrix, region)[1]
    return alpha


@pytest.mark.parametrize("centre", [(180.0, 240.0), (20.0, 30.0), (355.0, 470.0)])
def test_samples_without_alpha_keep_their_bits(frame, centre):
    matrix = face_matrix(centre, scale=1.5)
    alpha = soft_mask(frame, matrix)
    pasted = FacePaster(512).paste(frame, LOUD, matrix)
    untouched = alpha == 0
    assert untouched.mean() > 0.5
    np.testing.assert_array_equal(pasted.y[untouched], frame.y[untouched])
    layout = frame.layout
    step_y, step_x = 1 << layout.chroma_shift_y, 1 << layout.chroma_shift_x
    padded = np.pad(untouched, ((0, -layout.height % step_y), (0, -layout.width % step_x)), mode="edge")
    blocks = padded.reshape(layout.chroma_height, step_y, layout.chroma_width, step_x).all(axis=(1, 3))
    np.testing.assert_array_equal(pasted.u[blocks], frame.u[blocks])
    np.testing.assert_array_equal(pasted.v[blocks], frame.v[blocks])


def test_the_middle_is_the_new_face(frame):
    pasted = FacePaster(512).paste(frame, LOUD, face_matrix())
    layout = frame.layout
    wanted = layout.from_rgb @ (*LOUD[0, 0], 1)
    centre = (slice(220, 260), slice(160, 200))
    chroma = tuple(
        slice(part.start >> shift, part.stop >> shift)
        for part, shift in zip(centre, (layout.chroma_shift_y, layout.chroma_shift_x), strict=True)
    )
    for plane, where, code in zip(pasted.planes(), (centre, chroma, chroma), wanted, strict=True):
        assert np.abs(plane[where].astype(float) - code).max() <= 1


@pytest.mark.parametrize("through_crop", [True, False])
def test_pasting_the_own_face_is_neutral(frame, through_crop):
    matrix, alignment = face_matrix(), replace(LATENTSYNC_ALIGNMENT, through_crop=through_crop)
    pasted = FacePaster(512, alignment).paste(frame, align_face(frame, matrix, 512, alignment), matrix)
    step = 2 ** (frame.layout.bit_depth - 8)
    inside = soft_mask(frame, matrix) > 0.99
    change = (pasted.y.astype(float) - frame.y)[inside] / step
    assert abs(change.mean()) < 0.05
    assert np.abs(change).mean() < 2.0  # the noise is resampled twice
    assert max(np.abs(pasted.u.astype(int) - frame.u).max(), np.abs(pasted.v.astype(int) - frame.v).max()) <= 2 * step


def test_the_source_frame_is_not_written_to(frame):
    before = frame.copy()
    FacePaster(512).paste(frame, LOUD, face_matrix())
    for plane, old in zip(frame.planes(), before.planes(), strict=True):
        np.testing.assert_array_equal(plane, old)


def test_wide_edges_are_blurred_coarsely_but_look_the_same(monkeypatch):
    matrix = face_matrix((900.0, 900.0), scale=12.0)
    region = face_region(matrix, 512, 1800, 1800)
    coarse = warped_face(crop_of(LOUD), matrix, region)[1]
    monkeypatch.setattr(paste, "FINE_EDGE_PX", 10_000)
    fine = warped_face(crop_of(LOUD), matrix, region)[1]
    assert 0 < np.abs(coarse - fine).max() < 0.01
