"""Files of tensors: mapped instead of read, checked by name and shape, never twice in memory."""

import ctypes
import mmap
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from latentsync.errors import WeightsError

LISTED = 10  # names shown of each kind of mismatch
MADV_DONTNEED = 4  # <sys/mman.h> on Linux: drop the pages, read them again when touched

Module = TypeVar("Module", bound=nn.Module)


def open_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file, or whatever dictionary a .pt file holds, mapped from the file.

    Raises ``WeightsError`` when the file is missing or is no file of tensors.
    """
    if not path.is_file():
        raise WeightsError(f"{path} is missing: lipsync weights fetch downloads the published files")
    try:
        return _open_safetensors(path) if path.suffix == ".safetensors" else _open_pickled(path)
    except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise WeightsError(
            f"{path} ({path.stat().st_size} bytes) holds no readable tensors ({error}): "
            "the file is cut off or something else; fetch it again"
        ) from error


def open_metadata(path: Path) -> dict[str, str]:
    """The free-form metadata of a .safetensors file; empty for other files."""
    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, "pt") as file:
        return file.metadata() or {}


def load_strictly(
    module: Module,
    tensors: Mapping[str, Tensor],
    source: Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Module:
    """Give ``module`` (built on meta) exactly ``tensors``, one at a time, and set it to inference.

    Convolution weights become channels_last. Raises ``WeightsError`` with the tensors of ``source``
    that are missing, too many or of another shape.
    """
    expected = module.state_dict()
    if findings := mismatches(expected, tensors):
        raise WeightsError(f"{source} does not fit this model: {'; '.join(findings)}")
    loaded = {name: _placed(tensors[name], device, dtype) for name in expected}
    module.load_state_dict(loaded, assign=True)
    return module.eval().requires_grad_(False)


def mismatches(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """What is missing, extra or misshapen in ``given``, the first of each kind with shapes."""
    misshapen = [name for name in expected if name in given and expected[name].shape != given[name].shape]
    findings = [
        ("missing", [f"{name} {_shape(expected[name])}" for name in expected if name not in given]),
        ("extra", [f"{name} {_shape(given[name])}" for name in given if name not in expected]),
        (
            "of another shape",
            [f"{name} {_shape(given[name])} instead of {_shape(expected[name])}" for name in misshapen],
        ),
    ]
    return [f"{len(names)} {kind}: {_first(names)}" for kind, names in findings if names]


def release_pages(tensor: Tensor) -> None:
    """Drop the whole memory pages under a tensor that is MAPPED FROM A FILE and unchanged."""
    start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if end > start:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTNEED)


def _open_safetensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _open_pickled(path: Path) -> dict[str, Any]:
    if not zipfile.is_zipfile(path):
        raise RuntimeError("it is not in PyTorch's zip form")
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _placed(tensor: Tensor, device: str | torch.device, dtype: torch.dtype) -> Tensor:
    """A copy on the device; the pages of the mapped original are given back."""
    layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
    placed = tensor.to(device=device, dtype=dtype, memory_format=layout, copy=True)
    release_pages(tensor)
    return placed


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def _first(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
