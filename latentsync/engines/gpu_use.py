"""What the work of a thread takes of GPUs: measured by those who hold them, read by whoever wants to know."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class GpuUse:
    """None: no GPU was held."""

    seconds: float | None = None  # while one was held, by the share of it
    memory_steps: int | None = None  # times that its memory ran out, after which less is done at a time


_use: ContextVar[GpuUse | None] = ContextVar("gpu_use", default=None)


@contextmanager
def gpu_use() -> Iterator[GpuUse]:
    """What the block takes; known when it has ended."""
    use = GpuUse()
    token = _use.set(use)
    try:
        yield use
    finally:
        _use.reset(token)


@contextmanager
def holding(share: float) -> Iterator[None]:
    """Count the block's time as that of ``share`` (0..1] of a GPU."""
    began = time.monotonic()
    try:
        yield
    finally:
        if use := _use.get():
            use.seconds = (use.seconds or 0.0) + share * (time.monotonic() - began)
            use.memory_steps = use.memory_steps or 0


def count_memory_step() -> None:
    """A GPU's memory has run out."""
    if use := _use.get():
        use.memory_steps = (use.memory_steps or 0) + 1
