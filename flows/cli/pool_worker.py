"""`lipsync pool-worker`: Prefect's process worker, which gives its runs back when it is told to stop.

Prefect's own ends the processes of its runs by SIGKILL when it is told to stop: they stay Running for minutes.
"""

import asyncio
import contextlib
import os
import signal
from typing import Annotated, NoReturn
from uuid import UUID

import psutil
from cyclopts import Parameter
from cyclopts.types import PositiveInt
from prefect.client.orchestration import get_client
from prefect.workers.process import ProcessWorker

from flows.cli.console import console
from flows.cli.metrics_server import metrics_of_runs
from tasks.leaving import RUN_ID, queue_again
from tasks.run import STOP_SECONDS

GRACE_SECONDS = STOP_SECONDS + 12.0  # then a run's process is killed; a service manager must wait for longer
_at_end = contextlib.ExitStack()


def pool_worker(
    pool: Annotated[str, Parameter(help="Work pool, made by deployments/setup.sh")] = "lipsync",
    /,
    *,
    name: Annotated[str, Parameter(help="Name in the UI; empty: one of its own")] = "",
    limit: Annotated[PositiveInt | None, Parameter(help="Runs side by side; empty: as the deployments say")] = None,
    metrics: Annotated[
        str,
        Parameter(help="Address for Prometheus to read the runs' figures at, such as 127.0.0.1:9464; empty: none"),
    ] = "",
) -> None:
    """Take runs from a work pool. SIGTERM and Ctrl-C give them back to their queues, and end it."""
    _at_end.enter_context(metrics_of_runs(metrics))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    worker = ProcessWorker(work_pool_name=pool, name=name or None, limit=limit)
    asyncio.run(worker.start(printer=lambda text: console.print(text, soft_wrap=True)))


def _stop(number: int, _frame: object) -> NoReturn:
    """End; no new run is taken meanwhile, since the handler holds up the worker's loop."""
    for other in (signal.SIGTERM, signal.SIGINT):
        signal.signal(other, signal.SIG_IGN)
    count = stop_runs()
    console.print(f"stopped by {signal.Signals(number).name}: {count} runs given back", soft_wrap=True)
    _at_end.close()
    os._exit(0)


def stop_runs() -> int:
    """Stop the runs of this process's children; those that could not do so themselves are queued again."""
    processes = {}
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error, KeyError):
            processes[child] = UUID(child.environ()[RUN_ID])
            child.terminate()
    _, alive = psutil.wait_procs(list(processes), GRACE_SECONDS)
    for process in alive:
        process.kill()
    with get_client(sync_client=True) as client:
        for run in {*processes.values()}:
            state = client.read_flow_run(run).state
            if state and (state.is_running() or state.is_pending()):  # starting, or stuck
                queue_again(client, run)
    return len({*processes.values()})
