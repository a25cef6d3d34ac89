"""Prefect's pool of threads, as our tasks use it."""

import gc
import threading
from typing import Any

from prefect import task

from latentsync.settings import RunSettings
from tasks.runners.threads import OnThreads


def test_a_pool_holds_nothing_of_tasks_that_have_ended(prefect_server: None) -> None:
    goes_on, workers = threading.Event(), 2
    pool: Any = OnThreads(RunSettings(workers=workers)).start()
    with pool:
        futures = [pool.submit(task(goes_on.wait), {}) for _ in range(8)]
        assert len(pool._cancel_events) == 8  # what a cancelled run sets
        goes_on.set()
        while futures:
            futures.pop().wait()
        gc.collect()
        assert len(pool._cancel_events) <= workers  # a thread may be about to drop its last one
