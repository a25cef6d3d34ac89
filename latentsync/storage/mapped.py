"""Long arrays mapped from files: looked at in pieces, of which none stays in memory."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import numpy as np

BLOCK_ROWS = 4096
_one_header_at_a_time = Lock()


def open_array(path: Path) -> np.ndarray:
    """The array of an .npy file, mapped to be read.

    Headers are read one by one: Python 3.11's ``ast``, which NumPy reads them with, counts its depth for all
    threads together and fails ("AST constructor recursion depth mismatch", CPython issue 106905).
    """
    with _one_header_at_a_time:
        return np.load(path, mmap_mode="r")  # noqa: TID251


def blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Its rows in order, to be read or written; those of a mapped file are given back when the next are asked for."""
    for start in range(0, len(array), BLOCK_ROWS):
        yield array[start : start + BLOCK_ROWS]
        let_go(array)


def column(array: np.ndarray, name: str) -> np.ndarray:
    """One field of all rows, in memory; those of a mapped file do not stay there."""
    return np.concatenate([array[:0][name], *(rows[name].copy() for rows in blocks(array))])


def every(array: np.ndarray, step: int) -> np.ndarray:
    """Each ``step``-th row from the first on, in memory; those of a mapped file do not stay there."""
    firsts = (-start % step for start in range(0, len(array), BLOCK_ROWS))
    taken = [rows[first::step].copy() for first, rows in zip(firsts, blocks(array), strict=True)]
    return np.concatenate([array[:0], *taken])


def let_go(array: np.ndarray) -> None:
    """Give back the pages of a mapped file; what was written to them is kept, and they are read again when needed.

    Of an array in memory nothing is given back.
    """
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
