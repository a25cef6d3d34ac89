from dataclasses import replace

import cv2
import numpy as np
import pytest

from latentsync.faces.align import (
    OUTSIDE,
    align_face,
    face_region,
    moved,
    resize_crop,
    similarity_matrices,
    to_aligned,
    warp_crop,
)
from latentsync.faces.alignment import LATENTSYNC_ALIGNMENT, Alignment
from latentsync.media.frames import region_rgb
from tests.unit.faces.face_scene import TEMPLATE, face_matrix

STRAIGHT = replace(LATENTSYNC_ALIGNMENT, through_crop=False)


def test_aligning_planes_equals_aligning_rgb(frame):
    matrix = face_matrix()
    region = face_region(matrix, 512, frame.layout.width, frame.layout.height)
    crop = warp_crop(region_rgb(frame, *region), moved(matrix, region), 512)
    difference = np.abs(align_face(frame, matrix, 512).astype(int) - resize_crop(crop, 512))
    assert difference.mean() < 0.6
    assert difference.max() <= 6


@pytest.mark.parametrize("resolution", [256, 512])
def test_a_face_without_a_crop_lies_where_one_with_it_does(frame, resolution):
    matrix = face_matrix(resolution=resolution)
    once, twice = (align_face(frame, matrix, resolution, way).astype(float) for way in (STRAIGHT, LATENTSYNC_ALIGNMENT))
    smooth = [cv2.GaussianBlur(face, (0, 0), resolution / 64) for face in (once, twice)]  # the noise is sampled apart
    assert np.abs(smooth[0] - smooth[1]).max() < 2.5
    moved_by = np.abs(np.roll(smooth[0], resolution // 64, axis=1) - smooth[1]).max()
    assert moved_by > 2 * np.abs(smooth[0] - smooth[1]).max()


@pytest.mark.parametrize("alignment", [LATENTSYNC_ALIGNMENT, STRAIGHT])
def test_outside_of_the_picture_is_grey(frame, alignment):
    face = align_face(frame, face_matrix(centre=(10.0, 240.0), turn_degrees=0), 256, alignment)
    assert np.abs(face[:, :60].astype(int) - OUTSIDE).max() <= 1


@pytest.mark.parametrize("resolution", [256, 512])
def test_points_land_where_their_pixels_land(resolution):
    picture = np.zeros((480, 360, 3), np.uint8)
    spot = np.array([190.0, 250.0])
    picture[248:253, 188:193] = 255
    matrix = face_matrix(resolution=resolution)
    face = resize_crop(warp_crop(picture, matrix, resolution), resolution)[..., 0].astype(float)
    rows, columns = np.mgrid[:resolution, :resolution]
    seen = np.array([(face * columns).sum(), (face * rows).sum()]) / face.sum()
    np.testing.assert_allclose(to_aligned(spot, matrix, resolution), seen, atol=0.1)


def test_template_points_need_no_turning():
    matrices = similarity_matrices(TEMPLATE[None] * 4 + 100, 512)
    np.testing.assert_allclose(matrices[0, :, :2], np.eye(2) * 5.6 / 4, atol=1e-9)


def test_an_engine_s_alignment_says_how_large_the_face_lies_in_the_crop():
    wider = Alignment(((0, 10), (75, 10), (37.5, 46)))
    (matrix,) = similarity_matrices(TEMPLATE[None] * 4 + 100, 256, wider)
    (usual,) = similarity_matrices(TEMPLATE[None] * 4 + 100, 256)
    spreads = [np.std(points - points.mean(axis=0)) for points in (np.array(wider.points), TEMPLATE)]
    np.testing.assert_allclose(matrix[0, 0] / usual[0, 0], spreads[0] / spreads[1])


def test_mirrored_points_are_turned_not_mirrored():
    mirrored = TEMPLATE * [-1, 1] + 100
    matrix = similarity_matrices(mirrored[None], 512)[0]
    assert np.linalg.det(matrix[:, :2]) > 0


def test_third_point_is_smoothed_over_time():
    """Each shift is 0.8 of the frame's own correction and 0.2 of the smoothed one before."""
    points = np.stack([TEMPLATE] * 3) * 4
    points[1:, 2] += [[24, 12], [8, 0]]
    together = similarity_matrices(points, 512)[:, :, 2]
    alone = np.concatenate([similarity_matrices(frame[None], 512) for frame in points])[:, :, 2]
    own = np.array([_third_point(TEMPLATE) - _third_point(frame) for frame in points])
    first, second, third = own
    smooth = [first, 0.2 * first + 0.8 * second, 0.04 * first + 0.16 * second + 0.8 * third]
    np.testing.assert_allclose(together - alone, smooth - own, atol=1e-9)


def _third_point(points: np.ndarray) -> np.ndarray:
    centred = points - points.mean(axis=0)
    return centred[2] / centred.std(ddof=1)
