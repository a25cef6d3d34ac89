import pytest

from latentsync.engines.gpu_use import gpu_use, holding


def test_the_time_of_a_held_gpu_counts_by_the_share_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 4.0, 10.0, 16.0])
    monkeypatch.setattr("latentsync.engines.gpu_use.time.monotonic", lambda: next(ticks))
    with gpu_use() as use:
        with holding(1):
            pass
        with holding(1 / 2):
            pass
    assert (use.seconds, use.memory_steps) == (4.0 + 3.0, 0)


def test_without_a_gpu_there_is_no_figure() -> None:
    with gpu_use() as use:
        pass
    assert (use.seconds, use.memory_steps) == (None, None)
