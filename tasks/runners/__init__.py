"""Where tasks run. To add a runner: one module and one line here."""

from typing import Any, Protocol

from prefect.task_runners import TaskRunner

from latentsync.settings import RunSettings
from tasks.runners.dask import OnDask
from tasks.runners.threads import OnThreads


class Runner(Protocol):
    """A place for tasks; ``elsewhere``: in other processes; ``ahead_tasks``: how many may wait or run at a time."""

    elsewhere: bool
    ahead_tasks: int

    def start(self) -> TaskRunner[Any]:
        """Prefect's task runner. Raises ``InputError`` or ``TransientError`` when there is none."""
        ...

    def submit(self, runner: TaskRunner[Any], task: Any, parameters: dict[str, Any], resource: str) -> Any:
        """Submit a task that takes one ``resource``: ``CPU`` or ``GPU``."""
        ...

    def missing(self, resources: set[str]) -> set[str]:
        """Those of the resources that nobody offers now."""
        ...


RUNNERS = {"threads": OnThreads, "dask": OnDask}


def runner_of(settings: RunSettings) -> Runner:
    """The place for the tasks of a run."""
    return RUNNERS[settings.runner](settings)
