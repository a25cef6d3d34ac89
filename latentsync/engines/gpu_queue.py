"""One queue per GPU of this host, for all its users: a lock per place, so that it dies with its holder."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from latentsync.storage import locks

POLL_SECONDS = 0.25


def visible_gpus() -> list[str]:
    """Stable names (UUIDs) of the GPUs that this process may use, in torch's order."""
    import torch

    return [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]


@contextlib.contextmanager
def gpu_place(
    gpus: Sequence[str], jobs_per_gpu: int, on_wait: Callable[[], None], folder: Path | None = None
) -> Iterator[int]:
    """Hold a place on one of ``gpus`` and yield the GPU's index; the least busy GPU is tried first.

    While every place is taken, calls ``on_wait`` at each look for a free one; it may raise to give up.
    Raises InputError where somebody has put something else in the place of a lock.
    """
    folder = folder or locks.host_folder()
    with contextlib.ExitStack() as stack:
        while (index := _take_free(gpus, jobs_per_gpu, folder, stack)) is None:
            on_wait()
            time.sleep(POLL_SECONDS)
        yield index


def _take_free(gpus: Sequence[str], jobs_per_gpu: int, folder: Path, stack: contextlib.ExitStack) -> int | None:
    for place in range(jobs_per_gpu):
        for index, gpu in enumerate(gpus):
            if lock := locks.try_hold(folder / f"lipsync-{gpu}-{place}.lock", locks.SHARED):
                stack.enter_context(lock)
                return index
    return None
