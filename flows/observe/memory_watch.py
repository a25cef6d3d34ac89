"""Memory of a whole process tree over time, watched from a thread, in bounded space."""

import contextlib
import importlib
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import psutil

from flows.observe.series import Series
from latentsync.review.plots import MemorySample
from latentsync.storage.throttle import MIB


class MemoryWatch:
    """Samples the memory of process ``pid`` (default: this one) and all its descendants until it is left.

    ``rss_mib`` is resident memory without counting shared pages twice (Linux): anonymous memory by
    proportional set size, plus per program the largest set of mapped files that one of its processes
    holds. Unlike plain PSS it does not depend on what else runs on the machine. Elsewhere it is the sum
    of the resident set sizes. Processes that live shorter than ``interval_seconds`` can be missed.
    ``peaks_mib`` holds the largest for each thing that ``doing`` says is done at a sample.
    ``gpu_mib`` is what NVML counts for the tree's processes, or the most that torch reserved in this
    process where that is more; 0 without a GPU.
    """

    def __init__(
        self,
        pid: int | None = None,
        interval_seconds: float = 0.5,
        samples_max: int = 1000,
        clock: Callable[[], float] = time.monotonic,
        doing: Callable[[], Iterable[str]] = lambda: (),
    ) -> None:
        self.peak_rss_mib = 0.0
        self.peak_gpu_mib = 0.0
        self.peaks_mib: dict[str, float] = {}
        self._doing = doing
        self._root = psutil.Process(pid or os.getpid())
        self._interval_seconds = interval_seconds
        self._series = Series(_larger, samples_max)
        self._clock, self._began = clock, clock()
        self._gpu = _GpuMemory()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-watch", daemon=True)

    def __enter__(self) -> Self:
        self.sample()
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self.sample()

    @property
    def samples(self) -> list[MemorySample]:
        """Memory over time, from the start until now."""
        return self._series.samples

    def sample(self) -> None:
        """Take one sample now."""
        processes = _tree(self._root)
        rss_mib = _resident_bytes(processes) / MIB
        gpu_mib = self._gpu.used_bytes({process.pid for process in processes}) / MIB
        self.peak_rss_mib = max(self.peak_rss_mib, rss_mib)
        self.peak_gpu_mib = max(self.peak_gpu_mib, gpu_mib)
        for name in self._doing():
            self.peaks_mib[name] = max(self.peaks_mib.get(name, 0.0), rss_mib)
        self._series.add(MemorySample(self._clock() - self._began, rss_mib, gpu_mib))

    def _run(self) -> None:
        while not self._stop.wait(self._interval_seconds):
            self.sample()


def _larger(first: MemorySample, second: MemorySample) -> MemorySample:
    return MemorySample(second.seconds, max(first.rss_mib, second.rss_mib), max(first.gpu_mib, second.gpu_mib))


def _tree(root: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return [root, *root.children(recursive=True)]
    return []


def _resident_bytes(processes: list[psutil.Process]) -> int:
    anonymous_bytes, mapped_bytes = 0, defaultdict[str, int](int)
    for process in processes:
        program, anonymous, mapped = _parts(process)
        anonymous_bytes += anonymous
        mapped_bytes[program] = max(mapped_bytes[program], mapped)
    return anonymous_bytes + sum(mapped_bytes.values())


def _parts(process: psutil.Process) -> tuple[str, int, int]:
    """(program, bytes of its own, bytes of mapped files) of a process; nothing of one that has ended."""
    if _is_not_begun(process.pid):
        return "", 0, 0
    with contextlib.suppress(OSError, KeyError), open(f"/proc/{process.pid}/smaps_rollup") as file:
        kib = {line.split(":")[0]: int(line.split()[1]) for line in file if line.endswith("kB\n")}
        program = os.readlink(f"/proc/{process.pid}/exe")
        return program, kib["Pss_Anon"] * 1024, (kib["Rss"] - kib["Anonymous"]) * 1024
    with contextlib.suppress(psutil.Error):  # not Linux, or another user's process
        return "", process.memory_info().rss, 0
    return "", 0, 0


def _is_not_begun(pid: int) -> bool:
    """Whether a process has yet to become another program: until then it runs in its parent's memory (vfork).

    Counted too, the command would now and then seem to be there twice: the more often the longer it runs.
    """
    with contextlib.suppress(OSError, IndexError):
        return _memory_of(pid) == _memory_of(int(_stat(pid)[1]))
    return False


def _memory_of(pid: int) -> tuple[str, str, str]:
    """What tells one process's memory from another's: its size, and the random places of stack and arguments."""
    with open(f"/proc/{pid}/statm") as file:
        pages = file.read().split()[0]
    stat = _stat(pid)
    return pages, stat[25], stat[45]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on, its state."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


class _GpuMemory:
    """GPU memory of processes, as far as NVML and torch can tell."""

    def __init__(self) -> None:
        self._nvml: Any = None
        with contextlib.suppress(Exception):  # no driver, no package: there is nothing to watch
            nvml = importlib.import_module("pynvml")
            nvml.nvmlInit()
            self._nvml = nvml

    def used_bytes(self, pids: set[int]) -> int:
        return max(self._nvml_bytes(pids), _torch_bytes())

    def _nvml_bytes(self, pids: set[int]) -> int:
        if self._nvml is None:
            return 0
        with contextlib.suppress(Exception):
            handles = [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(self._nvml.nvmlDeviceGetCount())]
            running = [p for handle in handles for p in self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
            return sum(process.usedGpuMemory or 0 for process in running if process.pid in pids)
        return 0


def _torch_bytes() -> int:
    """Largest memory reserved so far by this process on all GPUs; never imports torch, nor starts CUDA."""
    cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return 0
    return sum(cuda.max_memory_reserved(index) for index in range(cuda.device_count()))
