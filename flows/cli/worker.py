"""`lipsync worker`: a Dask worker with the right resources, whose models load once and stay."""

import os
import sys

from latentsync.engines.settings import EngineSettings
from tasks.warm import WARM_ENGINE


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
    environment.pop("PREFECT_LOGGING_LEVEL", None)  # the command line is quiet, a worker tells the UI what it does
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = str(gpu)
    environment.setdefault("DASK_LOGGING__LATENTSYNC", "info")  # such as: loading engine
    if engine:
        environment[WARM_ENGINE] = engine.model_dump_json()
    command = dask_worker_command(address, gpu, cpus)
    os.execve(command[0], command, environment)
