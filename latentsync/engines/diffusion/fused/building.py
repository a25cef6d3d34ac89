"""Kernels built side by side: left alone, Triton builds each one when it is first launched."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from triton import knobs


def build_together(work: Callable[[], object], device: torch.device) -> None:
    """Run ``work`` for the sake of the kernels that it launches, so that the next time all are built.

    Kernels that are still to be built are not launched: what ``work`` computes is worthless.
    """
    here, building = threading.get_ident(), dict[tuple[str, str], Future[object]]()

    def note(*, key: str, fn: Any, compile: Any, **_: object) -> bool:
        """Called by Triton for a kernel that is not built; whether to do without it."""
        if threading.get_ident() != here:
            return False
        if (fn.name, key) not in building:
            building[fn.name, key] = pool.submit(fn.jit_function.preload, compile["specialization_data"])
        return True

    with ThreadPoolExecutor(os.cpu_count(), initializer=torch.cuda.set_device, initargs=(device,)) as pool:
        knobs.runtime.jit_cache_hook = note
        try:
            work()
        finally:
            knobs.runtime.jit_cache_hook = None
    for built in building.values():
        built.result()
