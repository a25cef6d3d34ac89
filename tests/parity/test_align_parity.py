"""Alignment and paste-back against the reference implementation's numbers (fp32, CPU).

The reference truncates to whole grey levels, we round: hence half a level of difference on average.
"""

from pathlib import Path

import numpy as np
import pytest

from latentsync.faces.align import crop_size, face_region, similarity_matrices, warp_crop
from latentsync.faces.paste import warped_face

RESOLUTION = 512


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("align_restore.npz")) as file:
        return dict(file)


def test_smoothed_matrices(golden):
    matrices = similarity_matrices(golden["landmarks3"], RESOLUTION)
    np.testing.assert_allclose(matrices, golden["matrices"], atol=1e-3)


def test_crops(golden):
    assert crop_size(RESOLUTION) == (420, 560)
    for image, matrix, expected in zip(golden["images"], golden["matrices"], golden["faces_every_8px"], strict=True):
        difference = warp_crop(image, matrix, RESOLUTION)[::8, ::8].astype(int) - expected
        assert np.abs(difference).max() <= 1
        assert 0.4 < difference.mean() < 0.55  # truncation, and nothing else


def test_restored_frame(golden):
    image, matrix = golden["images"][0], golden["matrices"][0].astype(np.float64)
    height, width = image.shape[:2]
    crop = (golden["generated_face_0"].astype(np.float32).transpose(1, 2, 0) / 2 + 0.5).clip(0, 1) * 255
    region = face_region(matrix, RESOLUTION, width, height)
    rgb, alpha = warped_face(np.rint(crop).astype(np.uint8), matrix, region)
    restored = image.astype(np.float32)
    part = restored[region.top : region.bottom, region.left : region.right]
    part += alpha[..., None] * (rgb - part)
    difference = np.abs(np.rint(restored) - golden["restored_0"])
    assert difference.mean() <= 0.25
    assert difference.max() <= 3
