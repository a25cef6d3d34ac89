import gc
import logging
import weakref

import pytest
import torch

from latentsync.engines.diffusion.memory import (
    CLEAN_UPS,
    GIB,
    Ladder,
    Watermarks,
    Workload,
    workload_that_fits,
)
from latentsync.engines.gpu_use import gpu_use
from latentsync.errors import TransientError

ALL = Workload(windows=4, vae_frames=8, split_guidance=False)


class ShortOfMemory:
    """Work that fails until the workload is as small as ``fits``."""

    def __init__(self, fits: Workload | None, failures_before: int = 0):
        self.fits, self.failures = fits, failures_before
        self.tried: list[Workload] = []

    def __call__(self, workload: Workload) -> str:
        self.tried.append(workload)
        if self.failures or workload != self.fits:
            self.failures = max(self.failures - 1, 0)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return "done"


def test_freeing_caches_is_tried_first():
    work = ShortOfMemory(fits=ALL, failures_before=1)
    ladder = Ladder(ALL)
    with gpu_use() as use:
        assert ladder.run(work) == "done"
    assert work.tried == [ALL, ALL]
    assert use.memory_steps == 1


@pytest.mark.slow
def test_every_step_of_the_ladder_is_taken_in_order_and_logged(caplog):
    smallest = Workload(windows=1, vae_frames=1, split_guidance=True)
    work = ShortOfMemory(fits=smallest)
    with caplog.at_level(logging.WARNING):
        assert Ladder(ALL).run(work) == "done"
    assert work.tried == [
        ALL,
        ALL,
        Workload(4, 4, False),
        Workload(4, 2, False),
        Workload(4, 1, False),
        Workload(4, 1, True),
        Workload(2, 1, True),
        Workload(1, 1, True),
    ]
    assert [record.getMessage() for record in caplog.records] == [
        "out of GPU memory: freeing caches",
        "out of GPU memory: VAE 4 frames at a time",
        "out of GPU memory: VAE 2 frames at a time",
        "out of GPU memory: VAE 1 frames at a time",
        "out of GPU memory: guidance passes one after the other",
        "out of GPU memory: batch of 2 windows",
        "out of GPU memory: batch of 1 windows",
    ]


@pytest.mark.slow
def test_what_was_learnt_stays():
    ladder = Ladder(ALL)
    ladder.run(ShortOfMemory(fits=Workload(4, 1, False)))
    later = ShortOfMemory(fits=Workload(4, 1, False))
    ladder.run(later)
    assert later.tried == [Workload(4, 1, False)]


@pytest.mark.slow
def test_the_end_of_the_ladder_is_a_passing_failure():
    with pytest.raises(TransientError, match=r"smallest workload.*stop other programs"):
        Ladder(ALL).run(ShortOfMemory(fits=None))


def test_tensors_of_a_failed_attempt_are_free_before_the_next():
    held: list[weakref.ref] = []

    def work(_: Workload) -> bool:
        if held:
            return held[0]() is None
        tensor = torch.zeros(1000)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("CUDA out of memory")

    gc.disable()
    try:
        assert Ladder(ALL).run(work)
    finally:
        gc.enable()


@pytest.mark.parametrize("text", ["CUDA error: out of memory", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"])
def test_shortages_that_libraries_report_count_too(text):
    failures = [RuntimeError(text)]

    def work(_: Workload) -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert Ladder(ALL).run(work) == "done"


def test_other_errors_pass_through():
    def work(_: Workload) -> None:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        Ladder(ALL).run(work)


@pytest.mark.parametrize(
    ("free_gib", "resolution", "expected"),
    [
        (70, 512, Workload(4, 8, False)),
        (7, 512, Workload(2, 4, False)),
        (2, 512, Workload(1, 2, True)),
        (7, 256, Workload(4, 8, False)),
    ],
)
def test_the_workload_follows_the_free_memory(free_gib, resolution, expected):
    assert workload_that_fits(free_gib * GIB, resolution, 2, guided=True) == expected


def test_without_guidance_there_is_nothing_to_split():
    assert workload_that_fits(70 * GIB, 512, 2, guided=False).split_guidance


def gauge(*readings_gib: float):
    readings = iter(readings_gib)
    return lambda: int(next(readings) * GIB)


def test_nothing_is_freed_below_the_high_mark():
    marks = Watermarks.of_gpu(80 * GIB, None, None)
    assert marks.relieve(gauge(71.9)) == []


def test_freeing_stops_at_the_low_mark():
    marks = Watermarks.of_gpu(80 * GIB, low_gib=40, high_gib=60)
    assert marks.relieve(gauge(61, 50, 50, 39, 39)) == ["light", "medium"]


def test_freeing_gets_as_hard_as_it_can():
    marks = Watermarks.of_gpu(80 * GIB, low_gib=40, high_gib=60)
    assert marks.relieve(gauge(61, *[50] * 6)) == list(CLEAN_UPS)


def test_the_low_mark_is_never_above_the_high_one():
    assert Watermarks.of_gpu(80 * GIB, None, 20) == Watermarks(20 * GIB, 20 * GIB)
