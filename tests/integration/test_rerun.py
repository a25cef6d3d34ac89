"""Which runs can be run again."""

import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Failed, Running

from flows.cli.rerun import run_again
from flows.lipsync import lipsync
from latentsync.errors import InputError

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
