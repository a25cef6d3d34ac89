"""What a process has left unended: shown until today, it would stretch the timeline of its run.

Of a batch that begins again, Prefect would also take an unended pair's run for that of another pair.
"""

import time
from collections.abc import Iterable
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType, TaskRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Cancelled, Crashed

from tasks.submitted import Submitted

UNENDED = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
NOT_READY = "NotReady"  # Prefect's name of the last state of a task that waited for one that failed
DEAD = "its process has ended"
NOT_BEGUN = "not begun: a task that it waited for has failed"
PATIENCE_SECONDS, POLL_SECONDS = 10.0, 0.5


def end_those_of_earlier_attempts(client: SyncPrefectClient, run: UUID) -> None:
    """For a run that begins again: neither its tasks nor the runs that it has called are at work yet."""
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    unended = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=UNENDED)))
    for task in client.read_task_runs(flow_run_filter=of_run, task_run_filter=unended):
        client.set_task_run_state(task.id, _end_of(task), force=True)
    called = FlowRunFilter(
        parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNENDED)),
    )
    for child in client.read_flow_runs(flow_run_filter=called):
        client.set_flow_run_state(child.id, Crashed(message=DEAD), force=True)


def _end_of(task: TaskRun) -> State:
    return Crashed(message=DEAD) if task.start_time else Cancelled(message=NOT_BEGUN)


def end_those_not_begun(client: SyncPrefectClient, items: Iterable[Submitted]) -> None:
    """For a run that has failed: end the tasks that nothing came of, by the names that they would have had."""
    until = time.monotonic() + PATIENCE_SECONDS
    for item in items:
        if item.state and item.state.name == NOT_READY:
            while not _is_ended(client, item):
                if time.monotonic() > until:
                    return
                time.sleep(POLL_SECONDS)


def _is_ended(client: SyncPrefectClient, item: Submitted) -> bool:
    try:
        client.set_task_run_state(item.task_run_id, Cancelled(message=NOT_BEGUN), force=True)
        client.set_task_run_name(item.task_run_id, item.name)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
        return False  # the server writes down a little later what tasks did
    return True
