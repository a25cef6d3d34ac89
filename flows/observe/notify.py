"""Tell a webhook how a run ended. Give ``notify`` to a flow as hook of its end states."""

import time
from typing import Any

import httpx
from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger
from prefect.settings import PREFECT_UI_URL

from latentsync.settings import Settings
from latentsync.storage import web
from latentsync.storage.locations import shown
from tasks.temporary_server import has_lasting_server

TIMEOUT_SECONDS = 5.0
BACKOFF_SECONDS = (1.0, 4.0)  # between the attempts


def notify(flow: Flow, flow_run: FlowRun, state: State) -> None:
    """Post the end of a run to ``settings.run.notify_url``. A failure to do so is logged, never raised.

    The message is JSON: run_id, run, flow, state (COMPLETED, FAILED, CRASHED, CANCELLED), message,
    output, and url where Prefect's UI is known.
    """
    try:
        run = _settings(flow_run.parameters).run
        if url := run.notify_url:
            _post(url, _message(flow, flow_run, state), run.allow_private_urls)
    except Exception as error:
        told = web.explain(error) if isinstance(error, httpx.HTTPError) else shown(str(error))
        flow_run_logger(flow_run, flow).warning("the webhook was not told: %s: %s", type(error).__name__, told)


END_HOOKS: dict[str, Any] = {
    name: [notify] for name in ("on_completion", "on_failure", "on_crashed", "on_cancellation")
}


def _settings(parameters: dict[str, Any]) -> Settings:
    return Settings.model_validate(parameters.get("settings") or {})


def _message(flow: Flow, flow_run: FlowRun, state: State) -> dict[str, Any]:
    return {
        "run_id": str(flow_run.id),
        "run": flow_run.name,
        "flow": flow.name,
        "state": state.type.value,
        "message": state.message or "",
        "output": shown(flow_run.parameters.get("output") or flow_run.parameters.get("output_folder") or ""),
        "url": link_to(str(flow_run.id)),
    }


def link_to(run_id: str) -> str:
    """The page of a flow run in Prefect's UI; empty where that is not known."""
    ui = PREFECT_UI_URL.value()
    return f"{ui}/runs/flow-run/{run_id}" if ui and run_id and has_lasting_server() else ""


def _post(url: str, message: dict[str, Any], allow_private: bool) -> None:
    """Post once; after a failure again, with growing pauses. Raises the last failure."""
    for pause in (*BACKOFF_SECONDS, None):
        try:
            with web.client(allow_private) as client:
                client.post(url, json=message, timeout=TIMEOUT_SECONDS, follow_redirects=False).raise_for_status()
            return
        except httpx.HTTPError:
            if pause is None:
                raise
            time.sleep(pause)
