"""Which runs can be run again."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Crashed, Failed, Running

from flows.cli import rerun
from flows.cli.rerun import run_again
from flows.lipsync import lipsync
from latentsync.errors import InputError
from tests.e2e.services import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@task(task_run_name="generate-{number:03d}")
def segment_of(number: int) -> None:
    """Stands for a segment."""


@flow
def of_two_segments(video: str, audio: str, output: str) -> None:
    """Stands for a job."""
    for number in range(2):
        segment_of(number)


@flow
def of_many_jobs(jobs: str) -> None:
    """Stands for a batch."""


@pytest.mark.parametrize("run", ["00000000-0000-0000-0000-000000000000", "no-such-run"])
def test_an_unknown_run_is_named(run: str) -> None:
    with pytest.raises(InputError, match=f"there is no run {run}"):
        run_again(run, [])


def test_a_run_that_goes_on_is_left_alone(client: SyncPrefectClient) -> None:
    parameters = {"video": "v", "audio": "a", "output": "o"}
    run = client.create_flow_run(lipsync, parameters=parameters, state=Running())
    with pytest.raises(InputError, match="is not over"):
        run_again(str(run.id), [])


def test_a_batch_has_no_segments(client: SyncPrefectClient) -> None:
    run = client.create_flow_run(of_many_jobs, parameters={"jobs": "j"}, state=Failed())
    with pytest.raises(InputError, match="is no single job"):
        run_again(str(run.id), [3])


def test_segments_that_a_run_has_not_are_refused(client: SyncPrefectClient) -> None:
    of_two_segments("v", "a", "o")
    mine = FlowFilter(name=FlowFilterName(any_=[of_two_segments.name]))
    run = client.read_flow_runs(flow_filter=mine, sort=FlowRunSort.START_TIME_DESC, limit=1)[0]
    with pytest.raises(InputError, match=r"--segments \[9\]: run .* has segments 0 to 1"):
        run_again(str(run.id), [1, 9])


@pytest.fixture
def crashed(client: SyncPrefectClient) -> Iterator[FlowRun]:
    """A run of a deployment whose process has died."""
    flow_id = client.create_flow(lipsync)
    deployment = client.create_deployment(flow_id, name="crashes")
    run = client.create_flow_run_from_deployment(deployment, parameters={"video": "v", "audio": "a", "output": "o"})
    client.set_flow_run_state(run.id, Crashed(), force=True)
    yield client.read_flow_run(run.id)
    client.delete_deployment(deployment)


def _report_twice(run: UUID) -> None:
    """As a worker does: the crash is told again after the retry, and the next retry begins."""
    with get_client(sync_client=True) as client:
        for state in (Crashed(), Running()):
            wait_until(lambda: client.read_flow_run(run).state_name == "AwaitingRetry", "it is queued again")
            client.set_flow_run_state(run, state, force=True)


def test_a_retry_that_the_workers_second_report_ends_is_repeated(
    crashed: FlowRun, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerun, "POLL_SECONDS", 0.05)
    with ThreadPoolExecutor() as worker:
        reported = worker.submit(_report_twice, crashed.id)
        assert run_again(str(crashed.id), []) == f"runs again as {crashed.name}"
        reported.result()
    assert client.read_flow_run(crashed.id).state_name == "Running"


def test_a_retry_that_nobody_begins_is_told(crashed: FlowRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerun, "START_SECONDS", 0.2)
    monkeypatch.setattr(rerun, "POLL_SECONDS", 0.05)
    assert "no worker has begun it" in str(run_again(str(crashed.id), []))
