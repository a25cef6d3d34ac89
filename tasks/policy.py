"""How tasks are cached, retried and placed: the only file that knows Prefect's task options."""

import functools
import hashlib
import inspect
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.context import TaskRunContext
from prefect.filesystems import RemoteFileSystem
from prefect.states import State
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from latentsync.errors import InputError, InternalError, TransientError
from latentsync.job import Job
from latentsync.records import Artefact, Record
from latentsync.settings import RunSettings, Settings
from latentsync.storage.download import fetch
from latentsync.storage.workspace import Workspace
from tasks.steps import tracking

JITTER = 0.5  # share of the back-off by which retries are spread, so that they do not meet again


def is_transient(_task: Task, _run: TaskRun, state: State) -> bool:
    """Retry condition: only what may pass by itself is tried again."""
    return isinstance(state.result(raise_on_failure=False), TransientError)


def step(name: str, key: Callable[..., str] | None = None) -> Callable[[Callable], Task]:
    """Make a function a task: named, tracked, retried, and cached under ``key(**parameters)``.

    ``name`` is a template over the parameters, such as ``generate-{segment.index:03d}``. Results are
    JSON: reading one validates its records, so a lost or damaged file is a cache miss.
    """

    def cache_key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
        fetch_missing(parameters.values())
        return cast(Callable[..., str], key)(**parameters)

    cached = {"cache_key_fn": cache_key, "persist_result": True, "result_serializer": "json"}
    options = cached if key else {"cache_policy": NO_CACHE}

    def decorate(function: Callable) -> Task:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def tracked(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            fetch_missing(given.values())
            with tracking(_run_settings(given.values()), name.format(**given)):
                return function(*args, **kwargs)

        stage = name.split("-")[0]
        return task(name=stage, task_run_name=name, retry_condition_fn=is_transient, **options)(tracked)

    return decorate


def _run_settings(values: Iterable[object]) -> RunSettings:
    for value in values:
        if isinstance(value, Settings):
            return value.run
        if isinstance(value, Job):
            return value.settings.run
    raise InternalError("a task takes a Job or Settings, to know its workspace")


def fetch_missing(values: Iterable[object]) -> None:
    """Bring the files that records name from the remote workspace, where this machine lacks them."""
    for value in values:
        if isinstance(value, Artefact):
            fetch(value)
        elif isinstance(value, Record):
            fetch_missing(getattr(value, name) for name in type(value).model_fields)
        elif isinstance(value, list | tuple):
            fetch_missing(value)


def options_for(task: Task, settings: RunSettings, redo: bool) -> dict[str, Any]:
    """What a run adds to a task: its retries with back-off, where results lie, whether to reuse them."""
    options: dict[str, Any] = {
        "retries": settings.retries,
        "retry_delay_seconds": [settings.retry_seconds * 2**attempt for attempt in range(settings.retries)],
        "retry_jitter_factor": JITTER,
    }
    if task.cache_key_fn:
        options["result_storage"] = _result_storage(Workspace.at(settings.work_dir))
        options["refresh_cache"] = redo
    return options


def _result_storage(workspace: Workspace) -> Path | RemoteFileSystem:
    """Where Prefect keeps the records of what is done: beside the files, so that other machines find them."""
    return _saved_block(f"{workspace.mirror}/results") if workspace.mirror else workspace.root / "results"


@functools.cache
def _saved_block(url: str) -> RemoteFileSystem:
    block = RemoteFileSystem(basepath=url)
    name = f"lipsync-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
    block.save(name, overwrite=True, _sync=True)  # Prefect takes none that its server does not know
    return block


def task_runner(settings: RunSettings) -> TaskRunner:
    """The task runner of a run. Raises ``InputError`` when Dask is asked for and not there."""
    if settings.runner == "threads":
        return ThreadPoolTaskRunner(max_workers=parallel_tasks(settings))
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise InputError(f"runner dask: {error}; run pip install 'lipsync-pipeline[dask]'") from error
    if not settings.dask_address:
        raise InputError("runner dask: no scheduler; set run.dask_address, such as tcp://127.0.0.1:8786")
    return DaskTaskRunner(address=settings.dask_address)


def lacking_workers(settings: RunSettings, gpu: bool) -> set[str]:
    """Kinds of Dask worker, GPU or CPU, that a run needs and the cluster does not have now."""
    if settings.runner == "threads":
        return set()
    from distributed import Client

    with Client(settings.dask_address, set_as_default=False) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {"CPU", *(["GPU"] if gpu else [])} - {kind for worker in workers for kind in worker["resources"]}


def parallel_tasks(settings: RunSettings) -> int:
    """Tasks that run side by side in this process."""
    return settings.workers or os.cpu_count() or 1


def placed(settings: RunSettings, gpu: bool) -> AbstractContextManager:
    """On a Dask cluster: submit to workers with a free GPU, or a free CPU."""
    if settings.runner == "threads":
        return nullcontext()
    import dask

    return dask.annotate(resources={"GPU" if gpu else "CPU": 1})
