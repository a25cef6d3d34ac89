"""The webhook: told once, patiently, and never the reason that a run fails."""

from collections.abc import Iterator

import pytest
from prefect import flow

from flows.observe import notify
from latentsync.settings import RunSettings, Settings
from tests.hook import Hook, listening_hook

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setattr(notify, "BACKOFF_SECONDS", (0.0, 0.0))
    with listening_hook() as server:
        yield server


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
