"""A contact sheet: source over result for some frames, to be judged by eye."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from latentsync.storage.atomic import write_whole

_GAP_PX = 8
_CAPTION_PX = 26
_BACKGROUND, _INK = (24, 24, 24), (235, 235, 235)


def contact_sheet(
    frames: Iterable[tuple[str, np.ndarray, np.ndarray]],
    out: Path,
    columns: int = 6,
    tile_width_px: int = 240,
) -> None:
    """Write a PNG of (label, source, result) triples; pictures are (H, W, 3) uint8 RGB.

    Each triple becomes a column of caption, source and result; ``columns`` of them make a row. Only the
    scaled-down tiles are kept in memory. Raises ValueError when there is no frame.
    """
    tiles = [_tile(label, source, result, tile_width_px) for label, source, result in frames]
    if not tiles:
        raise ValueError(f"no frames for the contact sheet {out}")
    height = max(tile.shape[0] for tile in tiles)
    tiles = [_padded(tile, height) for tile in tiles]
    tiles += [_blank(height, tile_width_px)] * (-len(tiles) % min(columns, len(tiles)))
    columns = min(columns, len(tiles))
    rows = [_joined(tiles[at : at + columns], axis=1) for at in range(0, len(tiles), columns)]
    sheet = _joined(rows, axis=0)
    write_whole(out, cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())


def _tile(label: str, source: np.ndarray, result: np.ndarray, width_px: int) -> np.ndarray:
    caption = _blank(_CAPTION_PX, width_px)
    cv2.putText(caption, label, (2, _CAPTION_PX - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
    return np.concatenate([caption, _scaled(source, width_px), _scaled(result, width_px)])


def _scaled(picture: np.ndarray, width_px: int) -> np.ndarray:
    height_px = max(1, round(picture.shape[0] * width_px / picture.shape[1]))
    shrinks = width_px < picture.shape[1]
    return cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _padded(tile: np.ndarray, height: int) -> np.ndarray:
    return np.concatenate([tile, _blank(height - tile.shape[0], tile.shape[1])])


def _joined(parts: list[np.ndarray], axis: int) -> np.ndarray:
    gap_shape = list(parts[0].shape)
    gap_shape[axis] = _GAP_PX
    gap = _blank(gap_shape[0], gap_shape[1])
    return np.concatenate([piece for part in parts for piece in (gap, part)] + [gap], axis=axis)


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _BACKGROUND, np.uint8)
