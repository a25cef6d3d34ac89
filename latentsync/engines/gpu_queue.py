"""One queue per GPU of this host: a lock file per place, held by ``flock``, so it dies with its holder."""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

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
    """
    folder = folder or Path(tempfile.gettempdir()) / "lipsync-gpu"
    folder.mkdir(exist_ok=True)
    _share(folder, 0o777)  # not sticky: Linux lets nobody open another's file in a sticky folder to create
    with contextlib.ExitStack() as stack:
        while (index := _take_free(gpus, jobs_per_gpu, folder, stack)) is None:
            on_wait()
            time.sleep(POLL_SECONDS)
        yield index


def _take_free(gpus: Sequence[str], jobs_per_gpu: int, folder: Path, stack: contextlib.ExitStack) -> int | None:
    for place in range(jobs_per_gpu):
        for index, gpu in enumerate(gpus):
            if lock := _try_lock(folder / f"{gpu}-{place}.lock"):
                stack.enter_context(lock)
                return index
    return None


def _try_lock(path: Path) -> IO | None:
    lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT), "w")
    _share(path, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _share(path: Path, mode: int) -> None:
    """Let other users of this host queue too, whatever the umask; what another one owns is shared already."""
    with contextlib.suppress(PermissionError):
        path.chmod(mode)
