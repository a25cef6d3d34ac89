"""Tasks in threads of this process."""

import os
import weakref
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from latentsync.settings import RunSettings
from tasks.runners.ahead import AHEAD_OF_A_THREAD, AHEAD_TASKS


class OnThreads:
    """As many tasks at a time as ``run.workers`` says."""

    elsewhere = False

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self.ahead_tasks = min(AHEAD_TASKS, AHEAD_OF_A_THREAD * parallel_tasks(settings))

    def start(self) -> TaskRunner[Any]:
        """A pool of threads."""
        runner: Any = ThreadPoolTaskRunner(max_workers=parallel_tasks(self._settings))
        runner._cancel_events = weakref.WeakValueDictionary()  # else a KiB of every task stays
        return runner

    def submit(self, runner: TaskRunner[Any], task: Any, parameters: dict[str, Any], resource: str) -> Any:
        """GPUs are shared by the queue of their engine, so any thread will do."""
        return runner.submit(task, parameters=parameters)

    def missing(self, resources: set[str]) -> set[str]:
        """Nothing."""
        return set()


def parallel_tasks(settings: RunSettings) -> int:
    """Tasks that run side by side in this process."""
    return settings.workers or os.cpu_count() or 1
