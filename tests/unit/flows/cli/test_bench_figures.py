"""The bench's figures from times that are known."""

import pytest

from flows.cli.bench_clip import steady_speed
from flows.cli.bench_diffusion import Busy, busy_percent, steady

BATCH = 16


@pytest.mark.parametrize("batches", [4, 8])
def test_a_short_run_is_as_fast_as_a_long_one(batches):
    made = [float(number + 1) for number in range(batches)]  # a batch a second
    handed_on = [*(second + 0.9 for second in made[:-1]), made[-1]]  # the next one was submitted so much later
    at = [second for second in handed_on for _ in range(BATCH)]
    assert steady_speed(at, BATCH, BATCH) == pytest.approx(BATCH)


def test_the_steady_part_is_from_the_first_window_s_arrival_to_the_last_one_s():
    spans = [
        Busy(0, 5, "encode"),
        Busy(90, 100, "Memcpy DtoH (Device -> Pinned)"),
        Busy(100, 180, "step"),
        Busy(170, 190, "copy beside it"),
        Busy(200, 210, "Memcpy DtoH (Device -> Pinned)"),
        Busy(400, 410, "after it"),
    ]
    found = steady(spans)
    assert [span.start_ns for span in found] == [100, 170, 200]
    assert busy_percent(found) == pytest.approx(100 * (90 + 10) / 110)
