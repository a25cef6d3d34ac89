"""The files in deployments/ against a real Prefect server."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.settings.models.flows import FlowsSettings
from prefect.types import DateTime
from prefect.utilities.importtools import import_object

from latentsync.settings import Settings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deployments" / "prefect.yaml"
DEPLOYMENTS = yaml.safe_load(FILE.read_text())["deployments"]
SCHEDULED = ["lipsync-batch/lipsync-nightly", "lipsync-deadline/lipsync-deadline", "sweep/sweep"]
NAMES = ["lipsync/lipsync", "lipsync-batch/lipsync-batch", *SCHEDULED]


@pytest.fixture(scope="module")
def deployed(prefect_server: None) -> None:
    """All of prefect.yaml deployed with the command that its first lines give."""
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="lipsync", type="process"))
    command = [
        sys.executable,
        "-m",
        "prefect",
        "--no-prompt",
        "deploy",
        "--all",
        "--prefect-file",
        FILE.relative_to(ROOT),
    ]
    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def lipsync(deployed: None, client: SyncPrefectClient) -> DeploymentResponse:
    return client.read_deployment_by_name("lipsync/lipsync")


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_every_entrypoint_is_a_flow_that_takes_its_parameters(deployment: dict[str, Any]) -> None:
    flow = import_object(deployment["entrypoint"])
    assert isinstance(flow, Flow)
    required = {"video": "v", "audio": "a", "output": "o", "jobs": "j"}
    missing = {name: value for name, value in required.items() if name in flow.parameters.properties}
    flow.validate_parameters(missing | deployment.get("parameters", {}))


@pytest.mark.parametrize("name", NAMES)
def test_all_are_deployed_to_the_pool(deployed: None, client: SyncPrefectClient, name: str) -> None:
    deployment = client.read_deployment_by_name(name)
    assert deployment.work_pool_name == "lipsync"
    assert deployment.pull_steps == []


def test_the_job_queue_is_visible(lipsync: DeploymentResponse) -> None:
    assert lipsync.global_concurrency_limit is not None
    assert lipsync.concurrency_options is not None
    assert lipsync.concurrency_options.collision_strategy == ConcurrencyLimitStrategy.ENQUEUE


@pytest.mark.parametrize("name", SCHEDULED)
def test_a_cron_deployment_gets_scheduled_runs(deployed: None, client: SyncPrefectClient, name: str) -> None:
    """SQLAlchemy 2.1 makes none, and says nothing."""
    deployment = client.read_deployment_by_name(name)
    (schedule,) = deployment.schedules
    until = (DateTime.now("UTC") + timedelta(days=2)).isoformat()
    client._client.post(f"/deployments/{deployment.id}/schedule", json={"end_time": until}).raise_for_status()
    runs = [run for run in client.read_flow_runs() if run.deployment_id == deployment.id]
    assert schedule.active
    assert runs
    assert all(run.auto_scheduled and run.state and run.state.is_scheduled() for run in runs)


def test_the_form_has_a_description_and_bounds_for_every_setting(lipsync: DeploymentResponse) -> None:
    form = lipsync.parameter_openapi_schema
    assert form is not None
    groups = form["definitions"]
    for parameter in form["properties"].values():
        assert parameter["description"], parameter
    for group, schema in groups.items():
        assert schema["description"], group
        for name, setting in schema.get("properties", {}).items():
            assert group == "Settings" or setting.get("description"), f"{group}.{name}"
            for kind in (setting, *setting.get("anyOf", [])):
                if kind.get("type") in ("integer", "number"):
                    assert {"minimum", "exclusiveMinimum"} & set(kind), f"{group}.{name} has no bound"


def test_the_form_never_falls_back_to_raw_json(lipsync: DeploymentResponse) -> None:
    def look(schema: Any) -> None:
        if isinstance(schema, dict):
            assert not {"discriminator", "oneOf"} & set(schema), schema
            for value in schema.values():
                look(value)
        elif isinstance(schema, list):
            for value in schema:
                look(value)

    look(lipsync.parameter_openapi_schema)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"encode": {"crf": 99}}, "51"),
        ({"engine": {"name": "magic"}}, "magic"),
        ({"encode": {"quality": 3}}, "quality"),
        ({"run": {"workers": -1}}, "-1"),
    ],
)
def test_bad_values_are_refused_before_there_is_a_run(
    lipsync: DeploymentResponse, client: SyncPrefectClient, settings: dict, told: str
) -> None:
    parameters = {"video": "v.mp4", "audio": "a.wav", "output": "o.mp4", "settings": settings}
    before = len(client.read_flow_runs())
    with pytest.raises(PrefectHTTPStatusError, match=told):
        client.create_flow_run_from_deployment(lipsync.id, parameters=parameters)
    assert len(client.read_flow_runs()) == before


def test_what_the_form_leaves_folded_is_taken(lipsync: DeploymentResponse, client: SyncPrefectClient) -> None:
    settings = {"engine": {"name": "warp", "warp": None, "latentsync": None, "options": {}}, "encode": None, "run": {}}
    parameters = {"video": "v.mp4", "audio": "a.wav", "output": "o.mp4", "settings": settings}
    run = client.create_flow_run_from_deployment(lipsync.id, parameters=parameters)
    flow = import_object("flows.lipsync.lipsync")
    assert flow.validate_parameters(run.parameters)["settings"] == Settings()


def test_the_dead_are_declared_after_three_heartbeats() -> None:
    ours = int(DEPLOYMENTS[0]["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
    others = FlowsSettings.model_fields["heartbeat_frequency"].default
    automations = yaml.safe_load((ROOT / "deployments" / "automations.yaml").read_text())["automations"]
    within = {each["name"]: each["trigger"].get("within", 0) for each in automations}
    assert within["dead runs are Crashed"] > 3 * ours
    assert within["other dead runs are Crashed"] > 3 * others
    (trigger,) = (each["trigger"] for each in automations if each["name"] == "dead runs are Crashed")
    flows = trigger["match_related"][1]["prefect.resource.name"]
    assert {*flows} == {each["entrypoint"].rpartition(".")[2].replace("_", "-") for each in DEPLOYMENTS}
