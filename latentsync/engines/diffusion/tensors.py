"""Files of tensors: mapped instead of read, checked by name and shape, never twice in memory."""

import ctypes
import hashlib
import mmap
import pickle
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from latentsync.errors import TransientError, WeightsError
from latentsync.storage.atomic import OUTPUT, explained, whole_file

LISTED = 10  # names shown of each kind of mismatch

Module = TypeVar("Module", bound=nn.Module)


def open_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file, or whatever dictionary a .pt file holds, mapped from the file.

    Raises ``WeightsError`` when the file is missing or is no file of tensors.
    """
    with _readable(path):
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not zipfile.is_zipfile(path):
            raise EOFError("it is not in PyTorch's zip form")
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not tensors by name: it is something else")
    return content


def open_metadata(path: Path) -> dict[str, str]:
    """The free-form metadata of a .safetensors file; empty for other files."""
    if path.suffix != ".safetensors":
        return {}
    with _readable(path), safe_open(path, "pt") as file:
        return file.metadata() or {}


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    if not path.is_file():
        raise WeightsError(f"{path} is missing: lipsync weights fetch downloads the published files")
    try:
        yield
    except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise WeightsError(
            f"{path} ({path.stat().st_size} bytes) holds no readable tensors ({error}): "
            "the file is cut off or something else; fetch it again"
        ) from error


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
    pages = MappedPages(source)
    loaded = {name: _placed(tensors[name], device, dtype, pages, _layout(tensors[name])) for name in expected}
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


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], source: Path, dtype: torch.dtype, metadata: Mapping[str, str]
) -> str:
    """Write ``tensors`` of ``source`` as ``dtype``; returns the file's sha256.

    In memory are the numbers as written, once: those of the source are given back one by one.
    Raises ``InputError`` for a path that cannot be written to, ``TransientError`` when the disk is full.
    """
    pages = MappedPages(source)
    written = {name: _placed(tensor, "cpu", dtype, pages, torch.contiguous_format) for name, tensor in tensors.items()}
    with explained(path), whole_file(path, OUTPUT) as part:
        mode = part.stat().st_mode
        try:
            save_file(written, part, dict(metadata))
        except SafetensorError as error:
            raise TransientError(f"{path} could not be written: {error}") from error
        part.chmod(mode)  # the library makes the file anew, for its owner only
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class MappedPages:
    """The memory that this process has mapped from one file."""

    def __init__(self, path: Path):
        maps = Path("/proc/self/maps")  # Linux; elsewhere the system itself must drop the pages
        lines = [line.split(maxsplit=5) for line in maps.read_text().splitlines()] if maps.exists() else []
        ours = [fields[0].split("-") for fields in lines if fields[5:] == [str(path.resolve())]]
        self._ranges = [(int(start, 16), int(end, 16)) for start, end in ours]

    def release(self, tensor: Tensor) -> None:
        """Drop the whole pages under ``tensor`` if it lies in the file: they count as resident memory."""
        first, last = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
        start, end = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE, last // mmap.PAGESIZE * mmap.PAGESIZE
        if start < end and any(low <= first and last <= high for low, high in self._ranges):
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def _placed(
    tensor: Tensor, device: str | torch.device, dtype: torch.dtype, pages: MappedPages, layout: torch.memory_format
) -> Tensor:
    """A copy on the device; the memory of the original is given back."""
    there = tensor.to(device) if torch.device(device).type == "cuda" else tensor  # a GPU converts numbers faster
    placed = there.to(device=device, dtype=dtype, memory_format=layout, copy=True)
    pages.release(tensor)
    return placed


def _layout(tensor: Tensor) -> torch.memory_format:
    return torch.channels_last if tensor.dim() == 4 else torch.contiguous_format


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def _first(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
