"""Batches through Prefect: each pair has its outcome, whatever becomes of the others."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect import tags
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.states import State

from flows.batch import lipsync_batch
from latentsync.publishing.report import read_report
from latentsync.records import file_sha256
from latentsync.settings import Settings
from tests.conftest import Clip

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One workspace for all batches: only the first one has to make faces."""
    return tmp_path_factory.mktemp("work")


def batch(
    jobs: Path, output_folder: Path, work_dir: Path, crf: int = 18, sidecar: bool = False
) -> tuple[State, dict[str, str]]:
    """The state of a batch, and the outcome of each output or pair."""
    run = {"work_dir": str(work_dir), "retries": 0, "sidecar": sidecar, "tags": ["acme"]}
    settings = Settings.model_validate({"encode": {"crf": crf}, "run": run})
    state = lipsync_batch(str(jobs), str(output_folder), settings, return_state=True)
    with open(output_folder / "outcomes.csv") as table:
        return state, {Path(row["output"] or row["pair"]).name: row["state"] for row in csv.DictReader(table)}


def manifest(path: Path, *rows: dict) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_a_bad_pair_does_not_stop_the_rest_and_finished_ones_are_skipped(
    clip: Clip, work_dir: Path, tmp_path: Path, client: SyncPrefectClient
) -> None:
    good = {"video": str(clip.video), "audio": str(clip.voice)}
    rows = [
        {**good, "video": "missing[x](https:evil.example).mp4", "output": "missing.mp4"},
        {**good, "output": "first.mp4"},
        {**good, "output": "never.mp4", "settings": {"encode": {"crf": 99}}},
        {**good, "output": "second.mp4", "settings": {"encode": {"crf": 30}}},
        {**good, "video": "htps://nowhere/a.mp4", "output": "typo.mp4"},
    ]
    jobs = manifest(tmp_path / "jobs.jsonl", *rows)

    state, outcomes = batch(jobs, tmp_path / "out", work_dir)
    made = {"first.mp4": "made", "second.mp4": "made"}
    assert outcomes == {"missing.mp4": "failed", "jobs.jsonl line 3": "failed", "typo.mp4": "failed", **made}
    assert state.is_failed()
    assert (
        f"3 failed, 2 made: {tmp_path}/out/missing.mp4: {tmp_path}/missing[x](https:evil.example).mp4: no such file"
        in str(state.message)
    )
    assert f"{jobs} line 3: settings: encode.crf = 99" in str(state.message)
    first, second = ((tmp_path / "out" / name).stat() for name in made)
    assert first.st_size > second.st_size  # by the crf of its line
    tables = [item for item in client.read_artifacts() if item.key == "lipsync-batch-outcomes"]
    shown = json.loads(str(tables[0].data))
    assert [row["state"] for row in shown] == ["failed", "made", "failed", "made", "failed"]
    assert "missing\\[x\\](https:evil.example).mp4: no such file" in shown[0]["message"]  # text, and no link

    state, outcomes = batch(manifest(jobs, rows[1], rows[3]), tmp_path / "out", work_dir)
    assert (state.is_completed(), state.message) == (True, "2 skipped")
    assert outcomes == {"first.mp4": "skipped", "second.mp4": "skipped"}
    assert (tmp_path / "out" / "first.mp4").stat() == first


def test_an_inbox_is_done_by_and_by(clip: Clip, work_dir: Path, tmp_path: Path) -> None:
    inbox, outbox = tmp_path / "inbox", tmp_path / "outbox"
    inbox.mkdir()
    (inbox / "early.mp4").hardlink_to(clip.video)
    state, outcomes = batch(inbox, outbox, work_dir)
    assert (state.is_completed(), outcomes) == (True, {"early": "unpaired"})

    (inbox / "early.wav").hardlink_to(clip.voice)
    state, outcomes = batch(inbox, outbox, work_dir)
    assert (state.is_completed(), outcomes) == (True, {"early.mp4": "made"})

    (outbox / "early.mp4").write_text("spoilt")
    state, outcomes = batch(inbox, outbox, work_dir)
    assert (state.is_completed(), outcomes) == (True, {"early.mp4": "made"})
    assert (outbox / "early.mp4").stat().st_size > 1000


def test_a_bad_file_keeps_no_night_red_but_the_first(
    clip: Clip, work_dir: Path, tmp_path: Path, client: SyncPrefectClient
) -> None:
    inbox, outbox = tmp_path / "inbox", tmp_path / "outbox"
    inbox.mkdir()
    (inbox / "broken.mp4").write_bytes(b"no video")
    (inbox / "broken.wav").hardlink_to(clip.voice)
    (inbox / "good.mp4").hardlink_to(clip.video)
    (inbox / "good.wav").hardlink_to(clip.voice)
    with tags("night"):  # as those of a deployment
        state, outcomes = batch(inbox, outbox, work_dir, crf=31, sidecar=True)
    assert (state.is_failed(), outcomes) == (True, {"broken.mp4": "failed", "good.mp4": "made"})
    with open(outbox / "outcomes.csv") as table:
        rows = {row["pair"].rpartition("/")[2]: row for row in csv.DictReader(table)}
    made = client.read_flow_run(UUID(rows["good"]["run_id"]))
    assert rows["good"]["link"].endswith(f"/runs/flow-run/{made.id}")
    assert datetime.fromisoformat(rows["good"]["date"]) > datetime.now(UTC) - timedelta(hours=1)
    sidecar = read_report(outbox / "good.mp4.json")
    assert {*made.tags} == {*sidecar.tags} == {*rows["good"]["tags"].split(",")} == {"acme", "night", "warp"}
    assert sidecar.cpu_seconds
    assert (float(rows["good"]["cpu_seconds"]), rows["good"]["price"]) == (sidecar.cpu_seconds, "")
    assert (sidecar.run_id, sidecar.video.sha256) == (str(made.id), file_sha256(clip.video))
    assert {"lipsync-pipeline", "prefect", "torch", "transformers"} <= sidecar.versions.keys()
    assert made.state
    assert str(made.state.message).startswith(f"{outbox}/good.mp4: 25 frames in ")
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[made.id]))
    found = client.read_artifacts(artifact_filter=of_run)
    shown = {artifact.key: artifact for artifact in found if artifact.type == "markdown"}
    assert shown[None].description == "Pictures: contact sheet, mouth vs voice, memory and progress"
    told = json.loads(str(shown["lipsync-output"].data).partition("```json")[2].rpartition("```")[0])
    assert told == {
        key: value for key, value in sidecar.model_dump(mode="json", exclude_none=True).items() if key in told
    }
    assert {"run_id", "video", "settings", "versions"} <= told.keys()

    state, outcomes = batch(inbox, outbox, work_dir, crf=31)
    assert (state.is_completed(), state.message) == (True, "1 rejected, 1 skipped")
    with open(outbox / "outcomes.csv") as table:
        again = {row["pair"].rpartition("/")[2]: row for row in csv.DictReader(table)}
    for pair, row in rows.items():  # the table of a night that runs again leads to the runs of before
        assert row["run_id"]
        assert (again[pair]["run_id"], again[pair]["link"]) == (row["run_id"], row["link"])
    (inbox / "broken.mp4").unlink()
    (inbox / "broken.mp4").hardlink_to(clip.video)
    state, outcomes = batch(inbox, outbox, work_dir, crf=31)
    assert (state.is_completed(), outcomes) == (True, {"broken.mp4": "made", "good.mp4": "skipped"})


def test_a_night_has_a_table_of_its_own(work_dir: Path, tmp_path: Path) -> None:
    settings = Settings.model_validate({"run": {"work_dir": str(work_dir)}})
    (tmp_path / "lone.mp4").touch()
    lipsync_batch(str(tmp_path), str(tmp_path), settings, outcomes=f"{tmp_path}/night-{{date}}.csv", return_state=True)
    assert (tmp_path / f"night-{datetime.now(UTC).date()}.csv").is_file()


def test_a_manifest_that_is_not_there_fails_the_batch_by_name(tmp_path: Path) -> None:
    state = lipsync_batch(str(tmp_path / "none.csv"), str(tmp_path), return_state=True)
    assert state.is_failed()
    assert f"{tmp_path}/none.csv: no such file or folder" in str(state.message)
