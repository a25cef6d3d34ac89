"""`lipsync rerun`: run a flow run again; what is done and intact is not done again."""

from collections.abc import Sequence
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import AwaitingRetry

from flows.lipsync import lipsync
from latentsync.errors import InputError
from latentsync.publishing.report import Report
from latentsync.settings import Settings


def rerun(run: str, segments: Sequence[int]) -> Report | str:
    """Redo what failed in ``run`` (an id or a name); ``segments`` are made again even if they are done.

    A run of a deployment goes back to its queue: returns the name of the run to watch. Any other runs
    here and returns its report. Raises ``InputError`` when there is no such run.
    """
    with get_client(sync_client=True) as client:
        found = _find(client, run)
        if found.deployment_id:
            return _queue(client, found, segments)
    given = found.parameters
    settings = Settings.model_validate(given.get("settings") or {})
    return lipsync(given["video"], given["audio"], given["output"], settings, list(segments))


def _find(client: SyncPrefectClient, run: str) -> FlowRun:
    try:
        return client.read_flow_run(UUID(run))
    except ValueError:
        named = FlowRunFilter(name=FlowRunFilterName(any_=[run]))
        runs = client.read_flow_runs(flow_run_filter=named, sort=FlowRunSort.START_TIME_DESC, limit=1)
    except Exception as error:  # the client has one class for every HTTP status
        raise InputError(f"run {run}: {error}; see `prefect flow-run ls` for the runs there are") from error
    if not runs:
        raise InputError(f"no run is named {run!r}; see `prefect flow-run ls` for the runs there are")
    return runs[0]


def _queue(client: SyncPrefectClient, found: FlowRun, segments: Sequence[int]) -> str:
    if not segments:
        client.set_flow_run_state(found.id, AwaitingRetry(), force=True)
        return found.name
    parameters = {**found.parameters, "force_segments": list(segments)}
    assert found.deployment_id
    return client.create_flow_run_from_deployment(found.deployment_id, parameters=parameters).name
