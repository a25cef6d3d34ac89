"""`lipsync rerun`: run a flow run again; what is done and intact is not done again."""

import contextlib
import time
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from cyclopts import Parameter
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import AwaitingRetry

from flows.cli.console import console
from flows.cli.running import flow_runs, segment_numbers
from flows.lipsync import lipsync, run_name
from latentsync.errors import InputError
from latentsync.publishing.report import Report
from latentsync.settings import Settings
from tasks.stages import STAGES

PAGE = 200  # the most that the server gives at once
START_SECONDS, POLL_SECONDS = 60.0, 1.0  # a worker looks for runs every 10 s, and its process takes 10 s to begin


def rerun(
    run: Annotated[str, Parameter(help="Id or name of a flow run")],
    /,
    *,
    segments: Annotated[str, Parameter(help="Segments to make again although they are done, such as 3,7")] = "",
) -> None:
    """Redo what failed, with bars where it runs here. Raises ``InputError`` when there is no such run."""
    chosen = segment_numbers("--segments", segments)
    with flow_runs() as ready:
        ready()
        outcome = run_again(run, chosen)
    console.print(outcome if isinstance(outcome, str) else outcome.summary, soft_wrap=True)


def run_again(run: str, segments: Sequence[int]) -> Report | str:
    """Redo what failed in ``run`` (an id or a name); ``segments`` are made again even if they are done.

    A run of a deployment goes back to its queue: returns what became of it, and the name of the run to watch.
    Any other runs here and returns its report. Raises ``InputError`` when there is no such run.
    """
    with get_client(sync_client=True) as client:
        found = _find(client, run)
        _check(found, run, alone=bool(segments) or not found.deployment_id)
        _check_segments(client, found, segments)
        if found.deployment_id:
            return _queue(client, found, segments)
    given = found.parameters
    settings = Settings.model_validate(_with_cache(given))
    return lipsync(given["video"], given["audio"], given["output"], settings, list(segments))


def _with_cache(parameters: dict[str, Any]) -> dict[str, Any]:
    """The run's settings, but what it has done is kept, also when it was told not to look at earlier work."""
    settings = parameters.get("settings") or {}
    return {**settings, "run": {**settings.get("run", {}), "cache": True}}


def _check(found: FlowRun, run: str, alone: bool) -> None:
    """Refuse a run that goes on, and where it must be one job ``alone``, a batch."""
    if found.state is None or not found.state.is_final():
        raise InputError(f"run {run} is not over ({found.state_name}); wait for its end, or cancel it")
    if alone and not {"video", "audio", "output"} <= set(found.parameters):
        raise InputError(f"run {run} is no single job; rerun that of one pair, or run the batch again")


def _check_segments(client: SyncPrefectClient, found: FlowRun, segments: Sequence[int]) -> None:
    """Refuse to make a segment again that the run never had."""
    known = _segments(client, found) if segments else set()
    if known and (unknown := set(segments) - known):
        raise InputError(f"--segments {sorted(unknown)}: run {found.name} has segments {min(known)} to {max(known)}")


def _segments(client: SyncPrefectClient, found: FlowRun) -> set[int]:
    """Indices of the segments that a run has worked on."""
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[found.id]))
    names, seen = list[str](), 0
    while page := client.read_task_runs(flow_run_filter=of_run, limit=PAGE, offset=seen):
        seen += len(page)
        names += [task.name for task in page if task.start_time]  # one that never started has no name of ours
    numbered = (name.rpartition("-") for name in names)
    return {int(number) for stage, _, number in numbered if stage in STAGES and STAGES[stage].per_segment}


def _find(client: SyncPrefectClient, run: str) -> FlowRun:
    with contextlib.suppress(ValueError):
        wanted = FlowRunFilterId(any_=[UUID(run)])
        return _first(client, FlowRunFilter(id=wanted), run)
    return _first(client, FlowRunFilter(name=FlowRunFilterName(any_=[run])), run)


def _first(client: SyncPrefectClient, wanted: FlowRunFilter, run: str) -> FlowRun:
    runs = client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.START_TIME_DESC, limit=1)
    if not runs:
        raise InputError(f"there is no run {run}; see `prefect flow-run ls` for the runs there are")
    return runs[0]


def _queue(client: SyncPrefectClient, found: FlowRun, segments: Sequence[int]) -> str:
    if segments:
        parameters = {**found.parameters, "settings": _with_cache(found.parameters), "force_segments": list(segments)}
        assert found.deployment_id
        name = run_name(parameters)  # which it takes when it begins: told now, it can be found by it
        found = client.create_flow_run_from_deployment(found.deployment_id, parameters=parameters, name=name)
    else:
        client.set_flow_run_state(found.id, AwaitingRetry(), force=True)
    return f"{_begun(client, found.id)} {found.name}"


def _begun(client: SyncPrefectClient, run: UUID) -> str:
    """Wait until a worker begins the run, and say so.

    A worker tells a second time, up to 13 s later, that a process has crashed: that ends a retry, so it is repeated.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        state = client.read_flow_run(run).state
        if state and state.name == "AwaitingConcurrencySlot":
            return "other jobs are running, this one waits for its turn:"
        if state and state.is_crashed():
            client.set_flow_run_state(run, AwaitingRetry(), force=True)
        elif state and not (state.is_scheduled() or state.is_pending()):
            return "runs again as"
        time.sleep(POLL_SECONDS)
    return f"queued, but no worker has begun it in {START_SECONDS:.0f} s (see `prefect work-pool inspect lipsync`):"
