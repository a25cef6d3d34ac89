"""The deadline flow: it fails when a run of a deployment is not finished in time. An automation tells it."""

from datetime import timedelta

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Completed, Failed, State
from prefect.types import DateTime
from pydantic import PositiveFloat


@flow(name="lipsync-deadline", persist_result=False)
def lipsync_deadline(deployment: str = "lipsync-batch/lipsync-nightly", hours: PositiveFloat = 12) -> State:
    """Say whether the newest run of a deployment that was due in the last hours is completed; fail when it is not.

    Args:
        deployment: flow and name of the deployment, as in its page's address bar
        hours: how far to look back; less than the time between two of its runs
    """
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        now = DateTime.now("UTC")
        due = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[found.id]),
            expected_start_time=FlowRunFilterExpectedStartTime(after_=now - timedelta(hours=hours), before_=now),
        )
        runs = client.read_flow_runs(flow_run_filter=due, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
    problem = _problem(runs[0]) if runs else "no run was due: is its schedule active?"
    if problem:
        return Failed(message=f"{deployment}, last {hours:g} hours: {problem}")
    return Completed(message=f"{deployment}: {runs[0].name} is completed")


def _problem(run: FlowRun) -> str:
    state = run.state
    if state and state.is_completed():
        return ""
    return f"run {run.name} ({run.id}) is {run.state_name}: {state.message or 'no reason is known' if state else ''}"
