"""How much memory tasks take, and how many of them fit into what the settings allow."""

import psutil

from latentsync.errors import InputError
from latentsync.storage.throttle import MIB

MIB_PER_GIB = 1024
# Upper bounds of process trees with their temporary server, measured: 927 and 995 MiB with one and two tasks at a
# time of 640x640, 1155 and 1241 of 1920x1080, 1794 with one of 3840x2160.
BASE_MIB = 860  # Python, torch, the face mesh, Prefect's server
TASK_MIB, MIB_PER_MEGAPIXEL = 15, 140  # of a task at work: its ffmpegs, and their and its own buffers of frames


def task_mib(width_px: int, height_px: int) -> float:
    """Resident memory of one task at work on frames of this size, its ffmpegs included, in MiB."""
    return TASK_MIB + MIB_PER_MEGAPIXEL * width_px * height_px / 1e6


def job_mib(width_px: int, height_px: int, tasks: int) -> int:
    """Resident memory of a job with so many tasks at a time, without an engine's networks, in MiB."""
    return int(BASE_MIB + tasks * task_mib(width_px, height_px))


def tasks_that_fit(max_rss_gib: float | None, width_px: int, height_px: int) -> int | None:
    """Tasks at a time that stay within ``max_rss_gib`` beside what this process holds now; None: any number.

    Asked when the engine is loaded, so that its networks count. Raises InputError where not one fits.
    """
    if max_rss_gib is None:
        return None
    base_mib, each_mib = max(BASE_MIB, psutil.Process().memory_info().rss / MIB), task_mib(width_px, height_px)
    fit = int((max_rss_gib * MIB_PER_GIB - base_mib) / each_mib)
    if fit < 1:
        raise InputError(
            f"run.max_rss_gib = {max_rss_gib:g}: a job of {width_px}x{height_px} takes {base_mib:.0f} MiB and for each "
            f"task at work {each_mib:.0f} MiB: allow {(base_mib + each_mib) / MIB_PER_GIB + 0.05:.1f}, or make the "
            "video smaller"
        )
    return fit
