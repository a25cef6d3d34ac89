"""Pictures as text, for pages that can load nothing from our disks."""

import base64
from pathlib import Path

import cv2

from latentsync.errors import InputError

_QUALITY = 85  # of 100: small print of plots stays sharp
_SHRINK = 0.9  # less than the size alone asks for: small pictures compress worse


def data_uri(picture: Path, max_bytes: int = 480_000) -> str:
    """A ``data:`` URI of at most ``max_bytes`` characters; the picture is scaled down until it fits.

    Raises InputError when ``picture`` is no picture.
    """
    pixels = cv2.imread(str(picture))
    if pixels is None:
        raise InputError(f"{picture}: no picture that can be read; make it again")
    while True:
        jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
        uri = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        if len(uri) <= max_bytes or min(pixels.shape[:2]) < 16:
            return uri
        scale = _SHRINK * (max_bytes / len(uri)) ** 0.5
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
