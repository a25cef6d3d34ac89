"""What a run shows in Prefect's UI, also when it fails."""

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, LogFilter, LogFilterFlowRunId
from prefect.context import FlowRunContext
from prefect.logging.handlers import APILogWorker

from flows.observe.artifacts import publishing_artifacts
from flows.observe.logs import set_up_logs
from flows.observe.progress import following, listening
from latentsync.errors import SegmentsFailed
from latentsync.publishing.writer import PublishResult
from latentsync.records import Segment
from latentsync.settings import Settings
from tasks.policy import step
from tasks.run import Run
from tasks.steps import frame_counter

pytestmark = pytest.mark.slow

SEGMENTS = [Segment(index=index, start=48 * index, end=48 * index + 48, clip_end=48 * index + 64) for index in range(3)]


@step("generate-{segment.index:03d}")
def generate(settings: Settings, segment: Segment) -> None:
    frame_counter(segment.frames)(segment.frames)
    logging.getLogger("latentsync.generation").info("made of thin air")
    if segment.index == 1:
        raise ValueError("this one cannot be made")


@step("render-{segment.index:03d}", lambda settings, segment: f"render-{segment.index}-of-the-artifact-test")
def render(settings: Settings, segment: Segment) -> None:
    return None


@step("publish")
def publish(settings: Settings, output: str) -> PublishResult:
    return PublishResult(destination=output, size_bytes=1, sha256="", seconds=0)


@pytest.fixture(scope="module")
def run_id(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of which the second segment fails and the renders have been made before."""
    folder = tmp_path_factory.mktemp("shown")
    settings = Settings.model_validate({"run": {"work_dir": str(folder), "report_dir": str(folder), "retries": 0}})
    set_up_logs()
    ids = []

    @flow(persist_result=False)
    def shown() -> None:
        ids.append(str(FlowRunContext.get().flow_run.id))
        with Run(settings) as run, publishing_artifacts(run), following(run):
            noise = np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), np.uint8)
            cv2.imwrite(str(folder / "contact-sheet.png"), noise)
            run.result(run(publish, settings, str(folder / "a b.mp4")))
            for segment in SEGMENTS:
                run(render, settings, segment)
            run.results([run(generate, settings, segment) for segment in SEGMENTS])

    for _ in range(2):
        with pytest.raises(SegmentsFailed, match="this one cannot be made"):
            shown()
    return ids[-1]


@pytest.fixture
def artifacts(run_id: str, client: SyncPrefectClient) -> dict:
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    return {artifact.key: artifact for artifact in client.read_artifacts(artifact_filter=wanted)}


def test_the_table_has_every_segment_also_when_one_has_failed(artifacts: dict) -> None:
    rows = json.loads(artifacts["lipsync-segments"].data)
    assert [(row["segment"], row["frames"], row["stage"]) for row in rows[:3]] == [
        (0, "0 to 47", "generate"),
        (0, "0 to 47", "render"),
        (1, "48 to 95", "generate"),
    ]
    assert [row["state"].split(":")[0] for row in rows] == [
        "Completed",
        "Cached",
        "Failed",
        "Cached",
        "Completed",
        "Cached",
    ]
    assert [row["cache hit"] for row in rows] == ["no", "yes"] * 3
    assert [row["attempts"] for row in rows] == [1, 0] * 3
    assert "this one cannot be made" in rows[2]["reason"]
    assert all(row["worker"] for row in rows[::2])


def test_progress_ends_with_what_was_done(artifacts: dict) -> None:
    progress = artifacts["lipsync-progress"]
    assert float(progress.data) == 100
    assert "- generate: 144 of 144" in progress.description


def test_pictures_are_embedded_and_small(artifacts: dict) -> None:
    text = artifacts["lipsync-contact-sheet"].data
    assert text.startswith("![contact sheet](data:image/jpeg;base64,")
    assert 100_000 < len(text) < 500_000


def test_the_output_is_linked(artifacts: dict) -> None:
    assert "a%20b.mp4" in artifacts["lipsync-output"].data


def test_logs_of_the_library_carry_stage_and_segment(run_id: str, client: SyncPrefectClient) -> None:
    APILogWorker.instance().drain()
    logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id])))
    messages = {log.message: log for log in logs if log.name == "latentsync.generation"}
    assert set(messages) == {f"[generate segment {index}] made of thin air" for index in range(3)}
    assert all(log.task_run_id for log in messages.values())


def test_the_bars_of_the_command_line_go_on(prefect_server: None, tmp_path: Path) -> None:
    heard = []

    @flow(persist_result=False)
    def quiet() -> None:
        settings = Settings.model_validate({"run": {"work_dir": str(tmp_path)}})
        with Run(settings) as run, publishing_artifacts(run), following(run):
            pass

    with listening(heard.append):
        quiet()
    assert heard
