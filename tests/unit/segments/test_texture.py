from dataclasses import replace

import cv2
import numpy as np
import pytest

from latentsync.faces.align import crop_size, similarity_matrices
from latentsync.faces.paste import FacePaster
from latentsync.media.frames import Frame, PixelLayout
from latentsync.segments.texture import Texture

SIZE = 256
LAYOUT = PixelLayout(400, 400, 1, 1, 8)
POINTS = np.array([[[150, 150], [250, 150], [200, 200]]], float)
MATRIX = similarity_matrices(POINTS, SIZE)[0]
MOUTH = np.array([[170, 235], [230, 235], [200, 225], [200, 250]], float)


def picture(seed: int = 1) -> Frame:
    """A face's worth of soft texture."""
    noise = np.random.default_rng(seed).normal(128, 60, (400, 400)).astype(np.float32)
    luma = cv2.convertScaleAbs(cv2.GaussianBlur(noise, (0, 0), 2) * 3 - 256)
    return Frame(luma, np.full((200, 200), 128, np.uint8), np.full((200, 200), 128, np.uint8), LAYOUT)


def measured(*changed: Frame) -> Texture:
    texture = Texture(SIZE)
    for frame in changed:
        texture.add(texture.face(picture(), MATRIX), frame, MATRIX, MOUTH)
    return texture


def brighter(levels: int) -> Frame:
    frame = picture()
    return replace(frame, y=cv2.add(frame.y, np.full_like(frame.y, levels)))


def test_the_source_itself_is_perfect():
    texture = measured(picture(), picture())
    assert (texture.seam, texture.sharpness, texture.flicker) == (1, 1, 0)


def test_nothing_added_is_nothing_measured():
    texture = Texture(SIZE)
    assert texture.seam is texture.sharpness is texture.flicker is None


def test_an_edge_where_the_paste_ends_is_a_seam():
    hard = picture()
    left, top, right, bottom = cv2.boundingRect(
        cv2.transform(
            np.array([[[0, 0], [crop_size(SIZE)[0], 0], [crop_size(SIZE)[0], crop_size(SIZE)[1]]]], np.float32),
            cv2.invertAffineTransform(MATRIX),
        )
    )
    inner = np.zeros((400, 400), np.uint8)
    inner[top + 12 : top + bottom - 12, left + 12 : left + right - 12] = 90
    seam = measured(replace(hard, y=cv2.add(hard.y, inner))).seam
    soft = measured(FacePaster(SIZE).paste(picture(), np.full((SIZE, SIZE, 3), 128, np.uint8), MATRIX)).seam
    assert seam
    assert soft
    assert seam > 1.5 > 1.1 > soft


@pytest.mark.parametrize(("sigma", "low", "high"), [(1.0, 0.3, 0.95), (4.0, 0.0, 0.3)])
def test_a_blurred_mouth_is_less_sharp(sigma, low, high):
    frame = picture()
    sharpness = measured(replace(frame, y=cv2.GaussianBlur(frame.y, (0, 0), sigma))).sharpness
    assert sharpness
    assert low < sharpness < high


def test_flicker_is_the_change_that_the_source_has_not():
    assert measured(brighter(6), brighter(6), brighter(6)).flicker == pytest.approx(0)  # another tone, but steady
    assert measured(brighter(0), brighter(6), brighter(0)).flicker == pytest.approx(6, abs=0.5)
