"""A line of text burnt into finished frames, where the settings ask for it: that a model altered them."""

import cv2
import numpy as np

from latentsync.media.frames import Frame, PixelLayout

FONT = cv2.FONT_HERSHEY_SIMPLEX  # OpenCV's own: ASCII, and no file
CAPITALS_PX = 21  # high at scale 1
HEIGHT_SHARE, LEAST_HEIGHT_PX = 0.05, 10  # of capitals, of the picture's shorter side
INK = 190  # of 255: white enough in SDR, and no lamp in HDR


class Label:
    """Light on black, in the lower left corner, smaller where the picture is too narrow for the text."""

    def __init__(self, text: str, layout: PixelLayout) -> None:
        coverage = _coverage(text, layout)
        height, width = coverage.shape
        margin = min(height, layout.width - width, layout.height - height) // 4 * 2
        self._left, self._top = margin, (layout.height - height - margin) // 2 * 2
        black, ink = (layout.from_rgb @ np.array([grey, grey, grey, 1.0]) for grey in (0, INK))
        self._luma = np.rint(black[0] + coverage / 255.0 * (ink[0] - black[0])).astype(layout.dtype)
        self._neutral = round(black[1])

    def on(self, frame: Frame) -> Frame:
        """A new frame with the text; outside of its box every sample keeps its bits."""
        labelled, layout = frame.copy(), frame.layout
        height, width = self._luma.shape
        top, left, bottom, right = self._top, self._left, self._top + height, self._left + width
        labelled.y[top:bottom, left:right] = self._luma
        x, y = layout.chroma_shift_x, layout.chroma_shift_y
        for plane in (labelled.u, labelled.v):
            plane[top >> y : bottom >> y, left >> x : right >> x] = self._neutral
        return labelled


def _coverage(text: str, layout: PixelLayout) -> np.ndarray:
    """The box with the text, (h, w) uint8 of even sizes within the picture: 255 is ink."""
    height = max(LEAST_HEIGHT_PX, round(HEIGHT_SHARE * min(layout.width, layout.height)))
    thickness = max(1, height // 10)
    scale = height / CAPITALS_PX
    pad = max(2, height // 3)
    (wide, _), _ = cv2.getTextSize(text, FONT, scale, thickness)
    room = max(layout.width - 2 * pad - 2, 8)
    scale *= min(1.0, room / wide)
    (wide, tall), below = cv2.getTextSize(text, FONT, scale, thickness)
    width = min(2 * pad + wide, layout.width) // 2 * 2
    height = min(2 * pad + tall + below, layout.height) // 2 * 2
    box = np.zeros((height, width), np.uint8)
    return cv2.putText(box, text, (pad, pad + tall), FONT, scale, 255, thickness, cv2.LINE_AA)
