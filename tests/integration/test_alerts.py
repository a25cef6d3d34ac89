"""The automations that `deployments/` ships, on a real server: what dies runs again, and the person on call is told."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import State, StateType
from prefect.events.schemas.events import Event, Resource
from prefect.flow_engine import FlowRunEngine
from prefect.states import AwaitingRetry, Completed, Crashed, Failed, Pending, Running, Scheduled
from prefect.types import DateTime

from flows.deadline import lipsync_deadline
from flows.lipsync import lipsync
from tests.e2e.services import ROOT, Services, wait_until
from tests.hook import Hook, listening_hook

pytestmark = pytest.mark.slow

DEPLOYMENTS = ROOT / "deployments"
QUICK = {  # the server's own periods
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_FOREMAN_INACTIVITY_HEARTBEAT_MULTIPLE": "1",
}


LONG_SECONDS, SHORT_SECONDS = 20, 10  # instead of 300 and fewer; the server takes no less than 10


class Site:
    """A server with the automations, the webhook that they tell, and runs that have come to grief.

    The server takes up new automations a moment late, so it is waited for the first alert. One state follows another
    when the server has its event: of two within milliseconds it may see the second 15 minutes later (its causal
    ordering has a race), and no worker is that quick.
    """

    def __init__(self, client: SyncPrefectClient, hook: Hook) -> None:
        self.client, self.hook = client, hook
        wait_until(lambda: self.run("first", Crashed()) and hook.told, "the automations are at work", 60, every=1)
        self.hangs = self.run("hangs", Pending())
        self.late = self.run("late", State(type=StateType.SCHEDULED, name="Late"))
        client.create_work_pool(WorkPoolCreate(name="lipsync", type="process"))
        beat = {"name": "worker", "heartbeat_interval_seconds": 1}
        client._client.post("/work_pools/lipsync/workers/heartbeat", json=beat).raise_for_status()
        self.night = self.run("lipsync-nightly", Running(), Failed(message="2 made, 1 failed"))
        self.run("of-the-day", Running(), Failed())

    def run(self, name: str, *states: State) -> UUID:
        """A run of a deployment of this name that has been in ``states``."""
        deployment = self.client.create_deployment(self.client.create_flow(lipsync), name=name)
        run = self.client.create_flow_run_from_deployment(deployment, state=Scheduled()).id
        self.goes_through(run, *states)
        return run

    def goes_through(self, run: UUID, *states: State) -> None:
        """Set one state after another, each when the server has the event of the one before."""
        for state in states:
            accepted = self.client.set_flow_run_state(run, state, force=True).state
            assert accepted
            wait_until(partial(self._has_event, accepted.id), f"the event of {state.name}", 60)

    def _has_event(self, event: UUID) -> bool:
        wanted = {"filter": {"id": {"id": [str(event)]}}}
        return bool(self.client._client.post("/events/filter", json=wanted).raise_for_status().json()["events"])

    def state(self, run: UUID) -> State:
        state = self.client.read_flow_run(run).state
        assert state
        return state

    def crashed_at(self, run: UUID) -> datetime:
        """When a run was declared dead, whatever became of it then; waits for it."""

        def crashes() -> list[State]:
            return [state for state in self.client.read_flow_run_states(run) if state.is_crashed()]

        wait_until(crashes, f"run {run} is declared dead", 90)
        return crashes()[0].timestamp

    def beat(self, run: UUID) -> None:
        """As Prefect's engine does for the run of a deployment, or of none."""
        engine = FlowRunEngine(flow=lipsync, flow_run=self.client.read_flow_run(run))
        resource, related = engine._build_heartbeat_event_template()
        event = Event(event="prefect.flow-run.heartbeat", resource=Resource(resource), related=related)
        self.client._client.post("/events", json=[event.model_dump(mode="json")]).raise_for_status()

    def is_queued_again(self, run: UUID) -> None:
        """Wait until the automation has put a run into its queue again."""
        wait_until(lambda: self.state(run).name == "AwaitingRetry", "the run is queued again", 60)

    def was_told(self, run: UUID) -> bool:
        return str(run) in [told.get("run_id") for told in self.hook.told]

    def told(self, alert: str, *about: object, key: str = "run_id") -> list[dict]:
        """What the person on call was told of one of these runs or pools; waits for it."""
        subjects = [str(each) for each in about]

        def found() -> list[dict]:
            return [told for told in self.hook.told if told["alert"] == alert and told.get(key) in subjects]

        wait_until(found, f"{alert}: {', '.join(subjects)}", 60)
        return found()


def _automations(alert_url: str, folder: Path, api: str) -> str:
    """Make those of `automations.yaml` as `setup.sh` does, with shorter periods; what the command printed."""
    (folder / "automations.py").write_text((DEPLOYMENTS / "automations.py").read_text())
    wanted = yaml.safe_load((DEPLOYMENTS / "automations.yaml").read_text())
    for trigger in (automation["trigger"] for automation in wanted["automations"]):
        if trigger["posture"] == "Proactive":
            trigger["within"] = LONG_SECONDS if trigger["within"] >= 300 else SHORT_SECONDS
    (folder / "automations.yaml").write_text(yaml.safe_dump(wanted))
    environment = {**os.environ, "PREFECT_API_URL": api, "LIPSYNC_ALERT_URL": alert_url}
    command = [sys.executable, folder / "automations.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("alerts")
    with Services(folder / "services") as services, listening_hook() as hook:
        services.environment |= QUICK
        api = services.server()
        with SyncPrefectClient(api) as client:
            assert "alert: crashed" in _automations("", folder, api)
            assert not _automations(hook.url, folder, api)
            wanted = yaml.safe_load((DEPLOYMENTS / "automations.yaml").read_text())["automations"]
            assert sorted(each.name for each in client.read_automations()) == sorted(each["name"] for each in wanted)
            yield Site(client, hook)


def test_a_crashed_run_runs_again_twice_and_nobody_is_woken_before_the_third_crash(site: Site) -> None:
    run = site.run("dies")
    for _ in range(2):
        site.goes_through(run, Running(), Crashed())
        site.is_queued_again(run)
        assert not site.was_told(run)
    site.goes_through(run, Running(), Crashed())
    site.told("crashed", run)


def test_a_run_that_crashes_right_after_a_retry_by_hand_runs_again(site: Site) -> None:
    run = site.run("dies-at-once", Running(), Crashed(), AwaitingRetry(), Running(), Crashed())
    site.is_queued_again(run)


def test_a_run_whose_heart_has_stopped_is_crashed_soon_only_if_it_beats_often(site: Site) -> None:
    of_deployment = site.run("stops-beating", Running())
    of_command = site.client.create_flow_run(lipsync, parameters={"output": "out.mp4"}, state=Running()).id
    for run in (of_deployment, of_command):
        site.beat(run)
    assert site.crashed_at(of_deployment) < site.crashed_at(of_command)


def test_a_run_that_never_begins_is_crashed(site: Site) -> None:
    site.told("crashed", site.hangs)


def test_a_late_run_is_told(site: Site) -> None:
    site.told("late", site.late)


def test_a_pool_without_a_worker_is_told(site: Site) -> None:
    site.told("no worker", "lipsync", key="pool")


def test_a_failed_night_is_told(site: Site) -> None:
    message = site.told("night", site.night)[0]
    assert f"/runs/flow-run/{site.night}" in message["url"]


@pytest.mark.usefixtures("prefect_server")
def test_a_night_that_is_not_finished_in_time_is_told(client: SyncPrefectClient) -> None:
    deployment = client.create_deployment(client.create_flow(lipsync), name="night")
    name = f"{lipsync.name}/night"
    assert "no run was due: is its schedule active?" in str(lipsync_deadline(name, return_state=True).message)
    run = client.create_flow_run_from_deployment(deployment, state=Scheduled(scheduled_time=DateTime.now("UTC")))
    client.set_flow_run_state(run.id, Running(), force=True)
    assert f"run {run.name} ({run.id}) is Running" in str(lipsync_deadline(name, return_state=True).message)
    client.set_flow_run_state(run.id, Completed(), force=True)
    assert lipsync_deadline(name, return_state=True).is_completed()
