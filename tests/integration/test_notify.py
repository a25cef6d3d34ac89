"""The webhook: told once, patiently, and never the reason that a run fails."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prefect import flow

from flows.observe import notify
from latentsync.settings import RunSettings, Settings

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


class Hook(HTTPServer):
    """A webhook that answers with ``statuses`` in turn and keeps what it was told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses: list[int] = []
        self.told: list[dict] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setattr(notify, "BACKOFF_SECONDS", (0.0, 0.0))
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@flow(name="told", persist_result=False, **notify.END_HOOKS)
def told(output: str, settings: Settings, fails: bool = False) -> None:
    if fails:
        raise ValueError("2 tasks failed")


def run(url: str, fails: bool = False) -> str:
    """The type of the state in which the run ends."""
    return told(
        "/out.mp4", Settings(run=RunSettings(notify_url=url, allow_private_urls=True)), fails, return_state=True
    ).type.value


def test_a_finished_run_tells_what_it_made(hook: Hook) -> None:
    assert run(hook.url) == "COMPLETED"
    (message,) = hook.told
    assert (message["state"], message["flow"], message["output"]) == ("COMPLETED", "told", "/out.mp4")
    assert message["run_id"]


def test_a_failed_run_tells_why(hook: Hook) -> None:
    assert run(hook.url, fails=True) == "FAILED"
    (message,) = hook.told
    assert message["state"] == "FAILED"
    assert "2 tasks failed" in message["message"]


def test_a_webhook_that_stumbles_is_told_again(hook: Hook) -> None:
    hook.statuses = [503, 500]
    run(hook.url)
    assert len(hook.told) == 3


def test_a_webhook_that_is_broken_fails_no_run(hook: Hook) -> None:
    hook.statuses = [500] * 9
    assert run(hook.url) == "COMPLETED"
    assert len(hook.told) == 3
    assert run("http://127.0.0.1:1/nobody") == "COMPLETED"


def test_without_a_webhook_nothing_is_told(hook: Hook) -> None:
    assert run("") == "COMPLETED"
    assert not hook.told
