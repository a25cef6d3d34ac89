"""Flow runs through Prefect's API: create, watch, and see what their tasks did."""

import time
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterName,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort
from prefect.states import AwaitingRetry, Cancelling
from prefect.types import DateTime

from tests.e2e.services import wait_until

RUN_SECONDS = 300.0


class Runs:
    """The flow runs of one server; a context manager."""

    def __init__(self, api: str) -> None:
        self.client = SyncPrefectClient(api)

    def __enter__(self) -> Self:
        self.client.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.client.__exit__(*error)

    def create(self, deployment: str, environment: dict[str, str] | None = None, **parameters: Any) -> UUID:
        """Ask for a run of a deployment, as the form in the UI does; ``environment`` adds to the deployment's."""
        found = self.client.read_deployment_by_name(deployment)
        variables = {} if environment is None else {"env": environment}
        made = self.client.create_flow_run_from_deployment(found.id, parameters=parameters, job_variables=variables)
        return made.id

    def retry(self, run: UUID) -> None:
        """As the Retry button does."""
        self.client.set_flow_run_state(run, AwaitingRetry(), force=True)

    def schedule(self, deployment: str, cron: str, **parameters: Any) -> UUID:
        """Add a cron schedule; returns the deployment's id."""
        found = self.client.read_deployment_by_name(deployment)
        self.client.create_deployment_schedules(found.id, [(CronSchedule(cron=cron), True)], parameters=parameters)
        return found.id

    def due(self, deployment: UUID) -> list[FlowRun]:
        """Runs that schedules of a deployment have created, to begin within two minutes."""
        of_schedules = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
            tags=FlowRunFilterTags(all_=["auto-scheduled"]),
            expected_start_time=FlowRunFilterExpectedStartTime(before_=DateTime.now("UTC") + timedelta(minutes=2)),
        )
        return self.client.read_flow_runs(flow_run_filter=of_schedules)

    def named(self, name: str) -> UUID:
        """The run of this name."""
        (found,) = self.client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])))
        return found.id

    def cancel(self, run: UUID) -> None:
        """As the Cancel button does."""
        self.client.set_flow_run_state(run, Cancelling())

    def read(self, run: UUID) -> FlowRun:
        """The run as it is now."""
        return self.client.read_flow_run(run)

    def state(self, run: UUID) -> State:
        """The state that the run is in now."""
        state = self.read(run).state
        assert state
        return state

    def children(self, run: UUID) -> list[UUID]:
        """The runs that a run has called, in order."""
        mine = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run]))
        found = self.client.read_flow_runs(flow_run_filter=mine, sort=FlowRunSort.START_TIME_ASC)
        return [child.id for child in found]

    def places_taken(self, deployment: str) -> int:
        """Of those that the concurrency limit of a deployment has."""
        limit = self.client.read_deployment_by_name(deployment).global_concurrency_limit
        assert limit
        return limit.active_slots

    def states(self, run: UUID) -> list[State]:
        """All states that the run has been in, in order."""
        return sorted(self.client.read_flow_run_states(run), key=lambda state: state.timestamp)

    def wait(self, run: UUID, seconds: float = RUN_SECONDS) -> State:
        """Wait for the end of a run; its last state."""
        wait_until(lambda: self.state(run).is_final(), f"run {run} ends", seconds, every=0.5)
        return self.state(run)

    def finish(self, run: UUID) -> float:
        """Wait until a run is completed; returns the seconds that it ran."""
        state = self.wait(run)
        assert state.is_completed(), f"run {run}: {state.name} {state.message}"
        return self.read(run).total_run_time.total_seconds()

    def tasks(self, run: UUID) -> dict[str, str]:
        """Name of each task -> its state, such as Completed or Cached; of several attempts, the last one's."""
        mine = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
        time.sleep(2)  # the server writes down what tasks did a little later
        found = self.client.read_task_runs(flow_run_filter=mine, limit=200, sort=TaskRunSort.EXPECTED_START_TIME_ASC)
        return {task.name: task.state.name for task in found if task.state and task.state.name}

    def link(self, run: UUID, key: str) -> str:
        """The address that a run's link artifact leads to."""
        mine = ArtifactFilter(key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        (found,) = self.client.read_artifacts(artifact_filter=mine)
        return str(found.data).rpartition("(")[2].rstrip(")")

    def made(self, run: UUID, *stages: str) -> set[str]:
        """Tasks of these stages that were really done, not taken from the cache."""
        tasks = self.tasks(run)
        return {name for name, state in tasks.items() if name.split("-")[0] in stages and state == "Completed"}
