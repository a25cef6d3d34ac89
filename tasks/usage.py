"""What tasks take of the process that they run in."""

import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class CpuUse:
    """Seconds of CPU of the process and of those children that have ended, on all cores together."""

    seconds: float = 0.0


class CpuMeter:
    """Shares a process's CPU time among those who work in it, so that the shares of all add up to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_work: list[CpuUse] = []
        self._shared = 0.0  # what of the process's time is shared out

    @contextmanager
    def use(self) -> Iterator[CpuUse]:
        """What the block takes; known when it has ended. Blocks that run side by side share equally."""
        use = CpuUse()
        with self._lock:
            self._share()
            self._at_work.append(use)
        try:
            yield use
        finally:
            with self._lock:
                self._share()
                self._at_work = [other for other in self._at_work if other is not use]

    def _share(self) -> None:
        now = cpu_seconds()
        for use in self._at_work:
            use.seconds += (now - self._shared) / len(self._at_work)
        self._shared = now


cpu_use = CpuMeter().use  # of this process


def cpu_seconds() -> float:
    """Of this process so far, and of those children that have ended."""
    return sum(os.times()[:4])


def peak_rss_mib() -> int:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def peak_gpu_mib() -> int | None:
    """Largest GPU memory that this process has reserved so far; None without torch or a GPU."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_available():
        return None
    return sum(cuda.max_memory_reserved(index) for index in range(cuda.device_count())) >> 20
