"""Keep glibc from setting memory aside: for every thread, and of what has been freed."""

import ctypes
import time

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h
ARENAS = 2
LARGE_BYTES = 4 * 1024**2  # a detector's tensors are; a frame of 1080x1920 in 4:2:0 is not, for it comes and goes
LARGEST_SHARE = 0.025  # of the time, in which freed memory is given back while frames come and go

_next_return = 0.0  # by time.monotonic


def bound_malloc() -> None:
    """Let all threads share two malloc arenas, and large blocks be the system's own.

    By default each of some 50 threads keeps an arena: measured 902 MiB instead of 550 for one process, and
    growing with the video's length. And a freed block lets glibc keep the next ones of its size (up to 32 MiB)
    in the heap, where they leave holes: measured 270 MiB instead of 230 after some hundred detectors.
    Without glibc this changes nothing.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_ARENA_MAX, ARENAS)
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BYTES)  # as glibc has it; else it would be 128 KiB from now on


def return_freed_memory() -> None:
    """Give the system back what lies free in the heap, such as the frame buffers of a task that has ended.

    Otherwise the heap stays as large as the largest moment that all tasks together ever had. Takes about a
    millisecond; without glibc this changes nothing.
    """
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def return_freed_memory_often() -> None:
    """The same as often as it costs little; may be called for every frame.

    Each frame is put into other holes of the heap than the last, the more widely the larger the heap once was: within
    0.1 s two renders of 320x320 fill 15 MiB of them.
    """
    global _next_return
    began = time.monotonic()
    if began >= _next_return:
        return_freed_memory()
        ended = time.monotonic()
        _next_return = ended + (ended - began) / LARGEST_SHARE
