"""The published UNet in the number format that a GPU computes in: the same numbers as loading it gives, half the bytes.

Kept in ``DIR/.converted/``, hidden, so that it is no part of what the weights are; it counts only as long as the
published file is the one that it was made of.
"""

import logging
from pathlib import Path

import torch

from latentsync.engines.diffusion import checkpoints
from latentsync.engines.diffusion.tensors import open_metadata
from latentsync.errors import WeightsError
from latentsync.storage.atomic import explained, leftovers
from latentsync.storage.locks import folder_lock

log = logging.getLogger(__name__)
MADE_OF = "made_of"  # its key in the metadata


def quickest_file(unet: Path, dtype: torch.dtype) -> Path:
    """The file to load ``unet`` from: the converted one where there is one of exactly this file."""
    path = _place(unet, dtype)
    try:
        if path.is_file() and open_metadata(path).get(MADE_OF) == _state(unet):
            return path
    except WeightsError as error:
        log.warning("not used: %s", error)
    return unet


def convert_once(folder: Path, dtype: torch.dtype) -> Path | None:
    """Convert the UNet of a folder of weights; the new file, or None where that is done or would save nothing.

    Raises ``WeightsError`` when the weights are not whole, ``InputError`` for a folder that cannot be written to,
    ``TransientError`` when the disk is full.
    """
    unet = checkpoints.unet_file(folder)
    if unet.suffix != ".pt" or dtype == torch.float32 or quickest_file(unet, dtype) != unet:
        return None
    path = _place(unet, dtype)
    with explained(path.parent):
        path.parent.mkdir(exist_ok=True)
    with folder_lock(path.parent, wait=True):
        if quickest_file(unet, dtype) != unet:  # by whoever held the lock
            return None
        for part in leftovers(path):
            part.unlink(missing_ok=True)
        checkpoints.convert(folder, path, dtype, {MADE_OF: _state(unet)})
    return path


def _place(unet: Path, dtype: torch.dtype) -> Path:
    return unet.parent / ".converted" / f"{unet.stem}.{str(dtype).removeprefix('torch.')}.safetensors"


def _state(unet: Path) -> str:
    stat = unet.stat()
    return f"{unet.name}, {stat.st_size} bytes, {stat.st_mtime_ns}"
