"""Which runs can be run again."""

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Failed, Running

from flows.cli.rerun import rerun
from flows.lipsync import lipsync
from latentsync.errors import InputError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@flow
def of_many_jobs(jobs: str) -> None:
    """Stands for a batch."""


@pytest.mark.parametrize("run", ["00000000-0000-0000-0000-000000000000", "no-such-run"])
def test_an_unknown_run_is_named(run: str) -> None:
    with pytest.raises(InputError, match=f"there is no run {run}"):
        rerun(run, [])


def test_a_run_that_goes_on_is_left_alone(client: SyncPrefectClient) -> None:
    parameters = {"video": "v", "audio": "a", "output": "o"}
    run = client.create_flow_run(lipsync, parameters=parameters, state=Running())
    with pytest.raises(InputError, match="is not over"):
        rerun(str(run.id), [])


def test_a_batch_has_no_segments(client: SyncPrefectClient) -> None:
    run = client.create_flow_run(of_many_jobs, parameters={"jobs": "j"}, state=Failed())
    with pytest.raises(InputError, match="is no single job"):
        rerun(str(run.id), [3])
