"""The plan flow against a real Prefect server."""

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from flows.plan import lipsync_plan
from latentsync.settings import Settings
from tests.conftest import Clip

pytestmark = pytest.mark.usefixtures("prefect_server")


def artifact_of(run) -> str:
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    with get_client(sync_client=True) as client:
        (found,) = client.read_artifacts(artifact_filter=mine)
    assert found.key == "lipsync-plan"
    return str(found.data)


@pytest.mark.slow
def test_a_good_job_is_shown_with_its_face(demo_clip: Clip):
    state = lipsync_plan(str(demo_clip.video), str(demo_clip.voice), Settings(), return_state=True)
    assert state.is_completed(), state
    shown = artifact_of(state.state_details.flow_run_id)
    assert "230 frames, 640x640" in shown
    assert "![a face](data:image/jpeg;base64," in shown


def test_a_job_that_cannot_succeed_fails_with_the_reason(numbered, voice):
    state = lipsync_plan(str(numbered), str(voice), Settings(), return_state=True)
    assert state.is_failed()
    assert "none of 6 sampled frames shows a face" in str(state.message)
    assert "**This job cannot succeed:**" in artifact_of(state.state_details.flow_run_id)
