"""Tasks of a process share the memory that the settings allow: one beyond it waits for its place."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache

from latentsync.forecast.memory import tasks_that_fit
from latentsync.job import Job

LOOK_SECONDS = 0.25

_changed = threading.Condition()
_at_work = 0
_fit = lru_cache(maxsize=16)(tasks_that_fit)  # asked once for a job: later, what its tasks hold would count twice


@contextlib.contextmanager
def place(job: Job | None, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a place in the memory that ``job`` may take (None: it is not known yet, and nothing is held).

    While there is none, calls ``on_wait`` now and then, which may raise to give up.
    """
    limit = _fit(job.settings.run.max_rss_gib, job.video.width_px, job.video.height_px) if job else None
    if limit is None:
        yield
        return
    _take(limit, on_wait)
    try:
        yield
    finally:
        _give_back()


def _take(limit: int, on_wait: Callable[[], None]) -> None:
    global _at_work
    with _changed:
        while _at_work >= limit:
            on_wait()
            _changed.wait(LOOK_SECONDS)
        _at_work += 1


def _give_back() -> None:
    global _at_work
    with _changed:
        _at_work -= 1
        _changed.notify_all()
