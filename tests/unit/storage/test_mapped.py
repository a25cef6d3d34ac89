"""What was looked at of a mapped file is not resident, and what was written to it is there."""

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from latentsync.storage.mapped import BLOCK_ROWS, blocks, column, every, open_array

ROWS = np.dtype([("seen", np.bool_), ("points", np.float32, 500)])  # 2 kB


def _resident_kib(path: Path) -> int:
    """Of all mappings of a file in this process."""
    here, found = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            here = line.endswith(str(path))
        elif here and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


def test_a_mapped_file_is_written_and_read_without_staying_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=ROWS, shape=(5 * BLOCK_ROWS,))
    for block in blocks(rows):
        block["points"] = 3
        block["seen"] = True
        assert _resident_kib(path) > 1000, "the block that is at hand"
    assert _resident_kib(path) < 100
    read = open_array(path)
    assert column(read, "seen").sum() == len(rows)
    assert column(read[100:200], "points").tolist() == [[3.0] * 500] * 100
    assert every(read, 40)["points"].tolist() == [[3.0] * 500] * 512
    assert _resident_kib(path) < 100


def test_an_array_in_memory_is_as_it_is() -> None:
    rows = np.zeros(3, ROWS)
    for block in blocks(rows):
        block["seen"] = True
    assert column(rows, "seen").tolist() == [True] * 3
    assert column(rows[:0], "seen").tolist() == []


@pytest.mark.parametrize("step", [1, 3, BLOCK_ROWS - 1, BLOCK_ROWS, 3 * BLOCK_ROWS])
def test_every_nth_row_is_counted_across_blocks(step: int) -> None:
    rows = np.arange(2 * BLOCK_ROWS + 5)
    np.testing.assert_array_equal(every(rows, step), rows[::step])


@pytest.fixture
def threads_that_disturb_each_other() -> Iterator[None]:
    """Threads change as often as they can, also in the middle of a header: a collection lets others run."""
    often, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(1)
    sys.setswitchinterval(1e-6)
    yield
    gc.set_threshold(*often)
    sys.setswitchinterval(interval)


class _Garbage:
    """With another one in a circle it waits for the collector, which then runs Python."""

    other: "_Garbage"

    def __del__(self) -> None:
        sum(range(50))


def _leave_garbage() -> None:
    one, other = _Garbage(), _Garbage()
    one.other, other.other = other, one


@pytest.mark.usefixtures("threads_that_disturb_each_other")
def test_many_threads_open_files_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, np.zeros(3, ROWS))

    def rows(_thread: int) -> set[int]:
        found = set()
        for _ in range(1000):
            _leave_garbage()
            found.add(len(open_array(path)))
        return found

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(rows, range(4))) == [{3}] * 4
