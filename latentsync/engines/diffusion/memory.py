"""GPU memory: what fits, when to clean up, and what to do when it does not fit after all."""

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from latentsync.engines.gpu_use import count_memory_step
from latentsync.errors import TransientError

log = logging.getLogger(__name__)
Result = TypeVar("Result")

GIB = 2**30
# Activations at 512 px in 16-bit numbers; they grow with the pixels and the bytes per number.
UNET_BYTES_PER_WINDOW = 3 * GIB  # 16 frames, with and without voice together
VAE_BYTES_PER_FRAME = GIB
MAX_WINDOWS = 4  # one window fills a GPU already; more only hide the launches
MAX_VAE_FRAMES = 8


@dataclass(frozen=True)
class Workload:
    """How much is on the GPU at a time."""

    windows: int  # per UNet call
    vae_frames: int  # per VAE call
    split_guidance: bool  # the passes without and with voice one after the other

    def smaller(self) -> tuple[str, "Workload"] | None:
        """The next step down and its name; None: this is the smallest."""
        if self.vae_frames > 1:
            frames = self.vae_frames // 2
            return f"VAE {frames} frames at a time", replace(self, vae_frames=frames)
        if not self.split_guidance:
            return "guidance passes one after the other", replace(self, split_guidance=True)
        if self.windows > 1:
            windows = self.windows // 2
            return f"batch of {windows} windows", replace(self, windows=windows)
        return None


SMALLEST = Workload(windows=1, vae_frames=1, split_guidance=True)


def workload_that_fits(free_bytes: int, resolution_px: int, number_bytes: int, guided: bool) -> Workload:
    """The largest workload, in powers of two, whose activations fit ``free_bytes``."""
    scale = (resolution_px / 512) ** 2 * number_bytes / 2
    window = UNET_BYTES_PER_WINDOW * scale
    return Workload(
        windows=_power_of_two(free_bytes / window, MAX_WINDOWS),
        vae_frames=_power_of_two(free_bytes / (VAE_BYTES_PER_FRAME * scale), MAX_VAE_FRAMES),
        split_guidance=not guided or free_bytes < window,
    )


class Ladder:
    """Runs work, and after each shortage of GPU memory again with less at a time.

    Steps, each logged: free caches, fewer frames in the VAE, guidance passes one after the other,
    smaller batch, ``TransientError``. What was learnt stays for the next work.
    """

    def __init__(self, workload: Workload, free: Callable[[], object] = lambda: None):
        self.workload, self._free = workload, free

    def run(self, work: Callable[[Workload], Result]) -> Result:
        """``work(workload)``, which must be repeatable; raises ``TransientError`` at the end."""
        if result := self._attempt(work):
            return result[0]
        log.warning("out of GPU memory: freeing caches")
        while not (result := self._attempt(work)):
            step = self.workload.smaller()
            if step is None:
                raise TransientError(
                    f"out of GPU memory with the smallest workload ({self.workload}); "
                    "stop other programs on this GPU or use a larger one"
                )
            name, self.workload = step
            log.warning("out of GPU memory: %s", name)
        return result[0]

    def _attempt(self, work: Callable[[Workload], Result]) -> tuple[Result] | None:
        try:
            return (work(self.workload),)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        count_memory_step()
        self._free()
        clean_up("medium")  # outside the handler: the traceback held the tensors of the attempt
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU ran out of memory, whichever of its libraries noticed."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "ALLOC_FAILED" in text


@dataclass(frozen=True)
class Watermarks:
    """GPU memory in use above which caches are freed, and that the freeing aims for."""

    low_bytes: int
    high_bytes: int

    @classmethod
    def of_gpu(cls, total_bytes: int, low_gib: float | None, high_gib: float | None) -> "Watermarks":
        """The given marks, or 70 % and 90 % of the GPU."""
        high = int(0.9 * total_bytes if high_gib is None else high_gib * GIB)
        low = int(min(0.7 * total_bytes, high) if low_gib is None else low_gib * GIB)
        return cls(min(low, high), high)

    def relieve(self, used_bytes: Callable[[], int]) -> list[str]:
        """Clean up harder and harder while memory above the high mark has not come down to the low one."""
        done: list[str] = []
        if used_bytes() <= self.high_bytes:
            return done
        for level in CLEAN_UPS:
            clean_up(level)
            done.append(level)
            log.info("%s clean-up: %.1f GiB in use", level, used_bytes() / GIB)
            if used_bytes() <= self.low_bytes:
                break
        return done


CLEAN_UPS = ("light", "medium", "aggressive")


def clean_up(level: str) -> None:
    """Free what nobody uses: light = cached blocks; medium = and garbage; aggressive = and workspaces."""
    if level != "light":
        gc.collect()
    if not torch.cuda.is_initialized():
        return
    if level == "aggressive":
        torch.cuda.synchronize()
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.ipc_collect()
    torch.cuda.empty_cache()


def _power_of_two(fits: float, most: int) -> int:
    number = 1
    while 2 * number <= min(fits, most):
        number *= 2
    return number
