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
