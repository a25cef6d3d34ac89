"""What the attempts of a run leave for the next one, and what the flow sees of a task."""

from pathlib import Path

import pytest

from tasks import arenas
from tasks.arenas import LARGEST_SHARE
from tasks.progress import Progress, Stopped, begin, read_progress, stop


def test_a_task_is_seen_only_while_it_runs(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "run", "generate-000")
    with progress.telling():
        progress.note("waits for a GPU")
        assert read_progress(tmp_path / "run")["generate-000"].note == "waits for a GPU"
    assert read_progress(tmp_path / "run") == {}


@pytest.mark.parametrize("return_seconds", [0.0004, 0.02])
@pytest.mark.parametrize("in_a_run", [True, False])
def test_memory_is_given_back_often_but_for_a_small_share_of_the_time(
    in_a_run: bool, return_seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, given_back = [1000.0], []

    def give_back() -> None:
        given_back.append(clock[0])
        clock[0] += return_seconds

    monkeypatch.setattr(arenas, "return_freed_memory", give_back)
    monkeypatch.setattr(arenas, "_next_return", 0.0)
    monkeypatch.setattr(arenas.time, "monotonic", lambda: clock[0])
    tasks = [Progress(tmp_path if in_a_run else None, f"render-{index}") for index in range(2)]
    for done in range(1000):
        tasks[done % 2].frames(done)
        clock[0] += 0.01
    share = return_seconds * (len(given_back) - 1) / (clock[0] - 1000)  # the first is at once
    assert 0.5 * LARGEST_SHARE < share <= LARGEST_SHARE


def test_an_order_to_stop_ends_a_task_and_hides_what_it_caused(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "run", "generate-000")

    def fail() -> None:
        with progress.telling():
            stop(tmp_path / "run")
            raise OSError("ffmpeg got the same signal")

    with pytest.raises(Stopped):
        fail()
    assert read_progress(tmp_path / "run") == {}


def test_an_order_to_stop_does_not_reach_the_next_attempt(tmp_path: Path) -> None:
    (tmp_path / "generate-000").write_text("of a task that was killed")
    stop(tmp_path)
    begin(tmp_path)
    Progress(tmp_path, "generate-000").check()
    assert read_progress(tmp_path) == {}
