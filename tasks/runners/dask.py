"""Tasks on a Dask cluster: a worker with a thread for its GPU, others with CPUs (see `lipsync worker`)."""

from typing import Any

from prefect.task_runners import TaskRunner

from latentsync.errors import InputError
from latentsync.settings import RunSettings
from tasks.runners.ahead import AHEAD_TASKS


class OnDask:
    """Tasks go to workers that offer their resource."""

    elsewhere = True
    ahead_tasks = AHEAD_TASKS

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings

    def start(self) -> TaskRunner[Any]:
        """A client of the scheduler. Raises ``InputError`` when Dask is not installed or no scheduler is named."""
        try:
            from prefect_dask import DaskTaskRunner
        except ImportError as error:
            raise InputError(f"runner dask: {error}; run pip install 'lipsync-pipeline[dask]'") from error
        if not self._settings.dask_address:
            raise InputError("runner dask: no scheduler; set run.dask_address, such as tcp://127.0.0.1:8786")
        return DaskTaskRunner(address=self._settings.dask_address)

    def submit(self, runner: TaskRunner[Any], task: Any, parameters: dict[str, Any], resource: str) -> Any:
        """Submit to the workers with a free ``resource``."""
        import dask

        with dask.annotate(resources={resource: 1}):
            return runner.submit(task, parameters=parameters)

    def missing(self, resources: set[str]) -> set[str]:
        """Kinds of worker that a run needs and the cluster does not have now."""
        from distributed import Client

        with Client(self._settings.dask_address, set_as_default=False) as client:
            workers = client.scheduler_info(n_workers=-1)["workers"].values()
        return resources - {kind for worker in workers for kind in worker["resources"]}
