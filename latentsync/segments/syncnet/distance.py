"""LSE-D and LSE-C (Prajwal et al., ACM MM 2020): distance of lips and voice, and how much it stands out."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice

import cv2
import numpy as np
import torch
from torch import Tensor

from latentsync.media.frames import Frame, region_rgb
from latentsync.segments.syncnet.mfcc import mfcc
from latentsync.segments.syncnet.network import FACE_PX, FRAMES, MFCC_ROWS, SyncNet

SHIFT_FRAMES = 15  # looked at, early and late
BATCH = 2  # more are no faster, and take memory
MFCC_ROWS_PER_FRAME = 4  # at 25 frames/s
CROP_MARGIN = 0.4  # of half the face's side: around it, twice below, as the published evaluation cuts


def lse(network: SyncNet, faces: Iterable[np.ndarray], samples: np.ndarray) -> tuple[float, float] | None:
    """(LSE-D, LSE-C) of consecutive faces (224, 224, 3) uint8 BGR at 25 frames/s and their 16 kHz sound.

    None for less than ``FRAMES`` faces or as much sound. LSE-D is the smallest mean distance over the shifts, LSE-C
    the median of the means less the smallest.
    """
    voice = torch.from_numpy(mfcc(samples).T.astype(np.float32))
    with _one_thread():
        seen = _embed(network.see, map(_see, _windows(faces)))
        count = min(len(seen), (voice.shape[1] - MFCC_ROWS) // MFCC_ROWS_PER_FRAME + 1)
        if count < 1:
            return None
        starts = range(0, count * MFCC_ROWS_PER_FRAME, MFCC_ROWS_PER_FRAME)
        heard = _embed(network.hear, (voice[None, :, start : start + MFCC_ROWS] for start in starts))
    means = mean_distances(seen[:count], heard)
    return float(means.min()), float(means.median() - means.min())


def mean_distances(seen: Tensor, heard: Tensor) -> Tensor:
    """Mean distance of (N, E) and (N, E) for each shift from -SHIFT_FRAMES to SHIFT_FRAMES: (2 * SHIFT_FRAMES + 1,).

    Beyond the ends there is the origin, as in the published evaluation.
    """
    padded = torch.nn.functional.pad(heard, (0, 0, SHIFT_FRAMES, SHIFT_FRAMES))
    shifts = range(2 * SHIFT_FRAMES + 1)
    return torch.stack(
        [torch.nn.functional.pairwise_distance(seen, padded[shift : shift + len(seen)]).mean() for shift in shifts]
    )


def face_crop(frame: Frame, box: np.ndarray) -> np.ndarray:
    """The face of ``box`` (left, top, right, bottom in pixels) as (224, 224, 3) uint8 BGR, grey beyond the picture."""
    half = max(box[2] - box[0], box[3] - box[1]) / 2
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    reach = half * (1 + CROP_MARGIN)
    left, top = (int(edge) // 2 * 2 for edge in (x - reach, y - half))
    right, bottom = int(x + reach), int(y + half * (1 + 2 * CROP_MARGIN))
    width, height = frame.layout.width, frame.layout.height
    inside = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    rgb = region_rgb(frame, *inside)
    around = (inside[1] - top, bottom - inside[3], inside[0] - left, right - inside[2])
    rgb = cv2.copyMakeBorder(rgb, *around, cv2.BORDER_CONSTANT, value=(110, 110, 110))
    return cv2.resize(rgb, (FACE_PX, FACE_PX))[:, :, ::-1]


@contextmanager
def _one_thread() -> Iterator[None]:
    """As many tasks as cores score side by side: more threads would only wait for each other, at full load."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _windows(faces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Every FRAMES consecutive faces, (FRAMES, 224, 224, 3)."""
    held: deque[np.ndarray] = deque(maxlen=FRAMES)
    for face in faces:
        held.append(face)
        if len(held) == FRAMES:
            yield np.stack(held)


def _see(window: np.ndarray) -> Tensor:
    return torch.from_numpy(window.astype(np.float32)).permute(3, 0, 1, 2)


def _embed(tower, inputs: Iterable[Tensor]) -> Tensor:
    """Embeddings of all inputs, a few at a time: (N, EMBEDDING)."""
    inputs, found = iter(inputs), []
    with torch.inference_mode():
        for first in inputs:
            found.append(tower(torch.stack([*chain([first], islice(inputs, BATCH - 1))])))
    return torch.cat(found) if found else torch.empty(0, 1)
