"""Tasks within a budget of memory: the one beyond it waits until another has ended, and can be told to stop."""

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tasks import places
from tasks.places import place
from tasks.progress import Stopped


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(places, "_fit", lambda *_: 2)
    return cast(
        Any,
        SimpleNamespace(
            settings=SimpleNamespace(run=SimpleNamespace(max_rss_gib=1)), video=SimpleNamespace(width_px=2, height_px=2)
        ),
    )


def test_one_beyond_the_budget_waits_for_a_place(job: Any) -> None:
    waits, leave, at_work, most = threading.Event(), threading.Event(), [], []

    def work() -> None:
        with place(job, waits.set):
            at_work.append(1)
            most.append(len(at_work))
            leave.wait(30)
            at_work.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert waits.wait(30)
    leave.set()
    for thread in threads:
        thread.join(30)
    assert len(most) == 3
    assert max(most) == 2


def test_who_waits_can_be_stopped_and_takes_no_place(job: Any) -> None:
    def stop() -> None:
        raise Stopped

    with place(job, stop), place(job, stop), pytest.raises(Stopped), place(job, stop):
        pass
    with place(job, stop), place(job, stop):
        pass


def test_before_the_inputs_are_known_nothing_is_held() -> None:
    with place(None, lambda: pytest.fail("it waits")):
        pass
