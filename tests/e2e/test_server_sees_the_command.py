"""`lipsync sync` with a Prefect server of the user's own: its log is in the UI, and Cancel there ends it."""

import os
import subprocess
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling

from tests.conftest import Clip
from tests.e2e.services import BIN, stop_tree, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

CANCEL_SECONDS = 30


def _newest(client: SyncPrefectClient) -> FlowRun:
    running = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Running"])))
    return client.read_flow_runs(flow_run_filter=running, sort=FlowRunSort.START_TIME_DESC, limit=1)[0]


def test_its_log_is_in_the_ui_and_cancel_there_ends_it(clip: Clip, tmp_path: Path) -> None:
    work = tmp_path / "work"
    process = psutil.Popen(
        [BIN / "lipsync", "sync", clip.video, clip.voice, "-o", tmp_path / "out.mp4", "--work-dir", work,
         "--segment-seconds", "2", "--workers", "1"],
        env={**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        wait_until(lambda: list(work.glob("*/render/.*")) or process.poll() is not None, "a segment is being rendered")
        with get_client(sync_client=True) as client:
            run = _newest(client)
            client.set_flow_run_state(run.id, Cancelling())
            printed, _ = process.communicate(timeout=CANCEL_SECONDS)
            assert process.returncode == 143, printed
            assert "cancelled in Prefect's UI" in printed
            assert "Traceback" not in printed
            state = client.read_flow_run(run.id).state
            assert state
            assert state.is_cancelled(), state
            logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])))
        assert any("Created task run" in log.message or "Finished in state" in log.message for log in logs), logs
        assert not (tmp_path / "out.mp4").exists()
    finally:
        stop_tree(process)
