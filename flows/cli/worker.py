"""`lipsync worker`: a Dask worker with the right resources, whose models load once and stay."""

import os
import sys
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt

from flows.cli.options import with_settings
from latentsync.engines.settings import EngineSettings
from latentsync.settings import Settings
from tasks.warm import WARM_ENGINE


@with_settings("engine")
def worker(
    address: Annotated[str, Parameter(help="Dask scheduler, such as tcp://10.0.0.5:8786")],
    /,
    *,
    gpu: Annotated[
        NonNegativeInt | None, Parameter(help="Index of the GPU that this worker owns; empty: a CPU worker")
    ] = None,
    cpus: Annotated[
        PositiveInt | None, Parameter(help="CPU tasks side by side; default: one per core, none with --gpu")
    ] = None,
    settings: Settings,
) -> None:
    """Become a Dask worker; the engine is loaded at the start if it was named."""
    warm = settings.engine if "name" in settings.engine.model_fields_set else None
    start_worker(address, gpu, cpus or (0 if gpu is not None else os.cpu_count() or 1), warm)


def dask_worker_command(address: str, gpu: int | None, cpus: int) -> list[str]:
    """The dask command of a worker with a thread for its GPU, if it has one, and ``cpus`` others."""
    offered = {"GPU": int(gpu is not None), "CPU": cpus}
    resources = " ".join(f"{name}={count}" for name, count in offered.items() if count)
    threads = sum(offered.values())
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address]
    return [
        *command,
        "--nthreads",
        str(threads),
        "--resources",
        resources,
        "--memory-limit",
        "0",
        "--preload",
        "tasks.warm",
        "--preload",
        "flows.observe.logs",
    ]


def start_worker(address: str, gpu: int | None, cpus: int, engine: EngineSettings | None) -> None:
    """Become a Dask worker; returns only by exception. ``engine`` is loaded at the start."""
    environment = dict(os.environ)
    environment.pop("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", None)  # set by our start: a worker says what it does
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = str(gpu)
    environment.setdefault("DASK_LOGGING__LATENTSYNC", "info")  # such as: loading engine
    if engine:
        environment[WARM_ENGINE] = engine.model_dump_json()
    command = dask_worker_command(address, gpu, cpus)
    os.execve(command[0], command, environment)
