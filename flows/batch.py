"""The batch flow: one lip-sync job for each pair of a manifest, a folder or a glob; also every night."""

from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from prefect import flow, get_run_logger, tags
from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State

from configs.manifest import Pair, find_pairs
from flows.lipsync import lipsync
from flows.observe.left_tasks import end_those_of_earlier_attempts
from flows.observe.markdown import plain
from flows.observe.notify import END_HOOKS, link_to
from latentsync.errors import UnusableFile
from latentsync.publishing.finished import find_finished, find_rejected, made_from, reject, remember_finished
from latentsync.publishing.outcomes import Outcome, Outcomes
from latentsync.settings import Settings
from latentsync.storage.locations import shown
from latentsync.storage.workspace import Workspace
from tasks.leaving import given_back
from tasks.progress import run_folder

FIRST = ("state", "output", "link", "message")


@flow(name="lipsync-batch", persist_result=False, **END_HOOKS)
def lipsync_batch(jobs: str, output_folder: str = "", settings: Settings = Settings(), outcomes: str = "") -> State:
    """Lip-sync many pairs, one after the other. A bad pair does not stop the rest; a finished one is skipped.

    The run fails, at its end, when any pair has failed: its message and the table say which and why. A pair whose
    files cannot be used fails once: after that it is told as rejected, and tried again when its files change.

    Args:
        jobs: manifest (.csv or .jsonl with video, audio, output, settings), or a folder or glob such as
            s3://bucket/inbox/* with videos and sounds of the same name; path or URL
        output_folder: folder or URL for the outputs; a manifest that names every output needs none
        settings: everything else, in groups; a manifest's line can override them
        outcomes: file for the table of outcomes, .csv or .jsonl, in which {date} becomes the day; empty:
            outcomes.csv in the output folder, or else in the workspace
    """
    if flow_run.run_count > 1:
        _forget_earlier_attempts()
    pairs = find_pairs(jobs, output_folder, settings)
    folder = output_folder.rstrip("/") or str(run_folder(settings.run.work_dir, str(flow_run.id)))
    named = (location for pair in pairs for location in (pair.video, pair.audio, pair.output) if location)
    place = outcomes.replace("{date}", datetime.now(UTC).date().isoformat()) or f"{folder}/outcomes.csv"
    table = Outcomes(place, [jobs, *named])
    progress = cast(UUID, create_progress_artifact(0.0, "lipsync-batch-progress", f"0 of {len(pairs)} pairs"))
    try:
        with given_back():
            for number, pair in enumerate(pairs, start=1):
                table.add(outcome := _outcome(pair))
                get_run_logger().info("%s: %s %s", outcome.pair, outcome.state, outcome.message)
                description = f"{number} of {len(pairs)} pairs: {plain(str(table))}"
                update_progress_artifact(progress, 100 * number / len(pairs), description=description)
    finally:
        rows = [_row(outcome) for outcome in table.all]
        told = plain(f"{table}, see {shown(table.location)}")
        create_table_artifact(rows, key="lipsync-batch-outcomes", description=told)
    return Failed(message=str(table)) if table.failed else Completed(message=str(table))


def _forget_earlier_attempts() -> None:
    with get_client(sync_client=True) as client:
        end_those_of_earlier_attempts(client, UUID(flow_run.id))


def _row(outcome: Outcome) -> dict[str, object]:
    """What people look for comes first: the rest lies outside a window of 1280 pixels."""
    fields = {name: value if name == "link" else _cell(value) for name, value in outcome.model_dump().items()}
    return {name: fields[name] for name in FIRST} | fields


def _cell(value: object) -> object:
    return plain(value) if isinstance(value, str) else value


def _outcome(pair: Pair) -> Outcome:
    """Make one pair; whatever goes wrong with it is its own."""
    try:
        outcome = _made(pair)
    except Exception as error:
        outcome = Outcome(pair=pair.where, state="failed", message=shown(f"{type(error).__name__}: {error}"))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return outcome.model_copy(update={"output": shown(pair.output), "date": now})


def _made(pair: Pair) -> Outcome:
    """Make one pair, unless it is finished or cannot be made."""
    if pair.problem:
        return Outcome(pair=pair.where, state="unpaired" if pair.lone else "failed", message=pair.problem)
    workspace = Workspace.at(pair.settings.run.work_dir).root
    source = made_from(pair.video, pair.audio, pair.settings)
    if known := find_finished(workspace, pair.output, source):
        return _of_run(known.run_id, pair=pair.where, state="skipped", message="finished before")
    if bad := find_rejected(workspace, pair.output, source):
        told = f"{bad.reason}; tried again when its files change"
        return _of_run(bad.run_id, pair=pair.where, state="rejected", message=told)
    with tags(*flow_run.tags, *pair.settings.tags):  # so that the run need not add them
        state = lipsync(pair.video, pair.audio, pair.output, _quiet(pair.settings), return_state=True)
    result, run_id = state.result(raise_on_failure=False), str(state.state_details.flow_run_id or "")
    outcome = _of_run(run_id, pair=pair.where, state="made")
    if not state.is_completed():
        if isinstance(result, UnusableFile):
            reject(workspace, pair.output, source, str(result), run_id)
        return outcome.model_copy(update={"state": "failed", "message": str(result)})
    remember_finished(workspace, pair.output, source, run_id)
    figures = {name: getattr(result, name) for name in ("frames", "seconds", "cpu_seconds", "gpu_seconds", "price")}
    return outcome.model_copy(update={**figures, "tags": ",".join(result.tags)})


def _of_run(run_id: str, **outcome: Any) -> Outcome:
    """With the run that made the pair, also an earlier one: a night that runs again makes its table anew."""
    return Outcome(run_id=run_id, link=link_to(run_id), **outcome)


def _quiet(settings: Settings) -> Settings:
    """Without the webhook: the batch tells it once."""
    return settings.model_copy(update={"run": settings.run.model_copy(update={"notify_url": ""})})
