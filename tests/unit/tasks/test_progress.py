"""What the attempts of a run leave for the next one, and what the flow sees of a task."""

from pathlib import Path

import pytest

from tasks.progress import Progress, Stopped, begin, read_progress, stop


def test_a_task_is_seen_only_while_it_runs(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "run", "generate-000")
    with progress.telling():
        progress.note("waits for a GPU")
        assert read_progress(tmp_path / "run")["generate-000"].note == "waits for a GPU"
    assert read_progress(tmp_path / "run") == {}


@pytest.mark.parametrize("in_a_run", [True, False])
def test_memory_is_given_back_now_and_then_and_not_for_every_frame(
    in_a_run: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back = []
    monkeypatch.setattr("tasks.progress.return_freed_memory", lambda: given_back.append(1))
    monkeypatch.setattr("tasks.progress.INTERVAL_SECONDS", 3600)
    progress = Progress(tmp_path if in_a_run else None, "generate-000")
    monkeypatch.setattr(progress, "_written_at", float("-inf"))
    for done in range(3):
        progress.frames(done)
    assert len(given_back) == 1


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
