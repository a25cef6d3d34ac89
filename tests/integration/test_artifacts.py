"""What a run shows in Prefect's UI, also when it fails."""

import logging
import re
from pathlib import Path
from uuid import UUID

import cv2
import numpy as np
import pytest
from prefect import flow
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import TaskRun
from prefect.context import FlowRunContext
from prefect.logging.handlers import APILogWorker
from prefect.states import Completed, Running

from flows.observe.left_tasks import NOT_BEGUN, end_those_of_earlier_attempts
from flows.observe.logs import set_up_logs
from flows.observe.progress import listening
from flows.observe.watch import Watch
from latentsync.errors import SegmentsFailed
from latentsync.publishing.writer import PublishResult
from latentsync.records import Record, Segment
from latentsync.settings import Settings
from tasks.finish import Pictures
from tasks.run import Run
from tasks.stages import later, stage
from tasks.work import Work
from tests.e2e.services import wait_until

pytestmark = pytest.mark.slow

SEGMENTS = [Segment(index=index, start=48 * index, end=48 * index + 48, clip_end=48 * index + 64) for index in range(3)]


class Made(Record):
    """Stands for a clip."""

    index: int


@stage("generate-{segment.index:03d}")
def generate(work: Work, settings: Settings, segment: Segment) -> Made:
    work.progress.frames(segment.frames)
    logging.getLogger("latentsync.generation").info("made of thin air")
    if segment.index == 1:
        raise ValueError("this one cannot be made of ![x](https:evil.example)|.mp4")
    return Made(index=segment.index)


@stage("render-{segment.index:03d}", lambda settings, segment: [segment.index, "of the artifact test"])
def render(work: Work, settings: Settings, segment: Segment) -> Made:
    return Made(index=segment.index)


@stage("publish")
def publish(work: Work, settings: Settings, output: str) -> PublishResult:
    return PublishResult(destination=output, size_bytes=1, sha256="", seconds=0)


@stage("pictures")
def pictures(work: Work, settings: Settings, folder: Path) -> Pictures:
    noise = np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), np.uint8)
    cv2.imwrite(str(folder / "contact-sheet.png"), noise)
    return Pictures(files=(folder / "contact-sheet.png",))


@pytest.fixture(scope="module")
def run_id(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of which the second segment fails and the renders have been made before."""
    folder = tmp_path_factory.mktemp("shown")
    settings = Settings.model_validate({"run": {"work_dir": str(folder), "report_dir": str(folder), "retries": 0}})
    set_up_logs()
    ids = []

    @flow(persist_result=False)
    def shown() -> None:
        context = FlowRunContext.get()
        assert context is not None
        assert context.flow_run is not None
        ids.append(str(context.flow_run.id))
        with Run(settings) as run, Watch(run):
            run.wait(pictures.submit(settings, folder))
            run.wait(publish.submit(settings, str(folder / "a b](https:evil.example)[c.mp4")))
            for segment in SEGMENTS:
                render.submit(settings, segment)
                generate.submit(settings, segment)
            run.wait_for_all()

    for _ in range(2):
        with pytest.raises(SegmentsFailed, match="this one cannot be made"):
            shown()
    return ids[-1]


@pytest.fixture
def artifacts(run_id: str, client: SyncPrefectClient) -> dict:
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run_id)]))
    found = client.read_artifacts(artifact_filter=wanted)
    return {artifact.key: artifact for artifact in found if artifact.type in ("markdown", "progress")}


def test_the_table_shows_failures_first_with_reason_and_remedy(artifacts: dict, run_id: str) -> None:
    text = artifacts["lipsync-segments"].data
    assert f"lipsync rerun {run_id}" in text
    assert text.startswith("3 cached, 2 completed, 1 failed")
    reason = "this one cannot be made of \\!\\[x\\](https:evil.example)\\|.mp4"
    assert f"\n- **generate-001**: ValueError: {reason}\n" in text
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        for line in text.splitlines()
        if line.startswith("| ") and "-00" in line
    ]
    assert [(row[0], row[3], row[1]) for row in rows] == [
        ("generate-001", "48 to 95", "Failed"),
        ("generate-000", "0 to 47", "Completed"),
        ("generate-002", "96 to 143", "Completed"),
        *((f"render-00{index}", f"{48 * index} to {48 * index + 47}", "Cached") for index in range(3)),
    ]
    assert "this one cannot be made" in rows[0][2]
    assert [row[4] for row in rows[1:]] == ["1", "1", "", "", ""]  # a cached task took nothing in this run


def test_progress_ends_with_what_was_done(artifacts: dict) -> None:
    progress = artifacts["lipsync-progress"]
    assert float(progress.data) == pytest.approx(100 * 240 / 288)  # what failed is not done
    assert "- generate: 96 of 144" in progress.description


def test_pictures_are_embedded_small_and_kept_once(artifacts: dict) -> None:
    shown = artifacts[None]  # of one with a key, the server keeps a copy, and another as an event
    assert shown.description == "Pictures: contact sheet"
    assert shown.data.startswith("![contact sheet](data:image/jpeg;base64,")
    assert 100_000 < len(shown.data) < 500_000


def test_the_output_is_linked(artifacts: dict) -> None:
    text, link = artifacts["lipsync-output"].data[1:-2].split("](<file:")
    assert text.endswith("a b\\](https:evil.example)\\[c.mp4")  # no other link comes of it
    assert link.endswith("a%20b%5D%28https%3Aevil.example%29%5Bc.mp4")


def test_logs_of_the_library_carry_stage_and_segment(run_id: str, client: SyncPrefectClient) -> None:
    APILogWorker.instance().drain()
    logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run_id)])))
    messages = {log.message: log for log in logs if log.name == "latentsync.generation"}
    assert set(messages) == {f"[generate segment {index}] made of thin air" for index in range(3)}
    assert all(log.task_run_id for log in messages.values())


def test_the_bars_of_the_command_line_go_on(prefect_server: None, tmp_path: Path) -> None:
    heard = []

    @flow(persist_result=False)
    def quiet() -> None:
        settings = Settings.model_validate({"run": {"work_dir": str(tmp_path)}})
        with Run(settings) as run, Watch(run):
            pass

    with listening(heard.append):
        quiet()
    assert heard


@stage("blend-{segment.index:03d}")
def blend(work: Work, settings: Settings, segment: Segment, made: Made) -> Made:
    return made


def _tasks(client: SyncPrefectClient, run: UUID) -> list[TaskRun]:
    return client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))


def test_what_waited_for_a_failed_task_has_ended_and_its_name(
    prefect_server: None, client: SyncPrefectClient, tmp_path: Path
) -> None:
    settings = Settings.model_validate({"run": {"work_dir": str(tmp_path), "retries": 0}})
    ids = []

    @flow(persist_result=False)
    def failing() -> None:
        with Run(settings) as run, Watch(run):
            ids.append(UUID(run.id))
            blend.submit(settings, SEGMENTS[1], later(generate.submit(settings, SEGMENTS[1])))
            run.wait_for_all()

    with pytest.raises(SegmentsFailed, match="this one cannot be made"):
        failing()
    wait_until(lambda: len(_tasks(client, ids[0])) == 2, "both tasks are written down")
    ended = {task.name: task for task in _tasks(client, ids[0])}["blend-001"]
    assert ended.state
    assert (ended.state.name, ended.state.message) == ("Cancelled", NOT_BEGUN)
    assert ended.end_time


def test_tasks_of_a_dead_process_end_when_their_run_begins_again(client: SyncPrefectClient) -> None:
    @flow
    def dead() -> None: ...

    run = client.create_flow_run(dead)
    rendering = client.create_task_run(render.task(NO_CACHE), run.id, "0", state=Running())
    done = client.create_task_run(render.task(NO_CACHE), run.id, "1", state=Completed())
    end_those_of_earlier_attempts(client, run.id)
    states = {task.id: task.state_name for task in _tasks(client, run.id)}
    assert states == {rendering.id: "Crashed", done.id: "Completed"}
