"""A budget of memory: how many tasks fit into it, and what is said where none does."""

import psutil
import pytest

from latentsync.errors import InputError
from latentsync.forecast.memory import BASE_MIB, task_mib, tasks_that_fit
from latentsync.storage.throttle import MIB


def test_as_many_tasks_as_stay_within_it() -> None:
    held_mib = max(BASE_MIB, psutil.Process().memory_info().rss / MIB)  # whatever ran before in this process counts
    assert tasks_that_fit((held_mib + 4.5 * task_mib(1920, 1080)) / 1024, 1920, 1080) == 4
    assert tasks_that_fit(None, 1920, 1080) is None


def test_the_refusal_names_what_is_needed() -> None:
    with pytest.raises(
        InputError, match=r"run.max_rss_gib = 0\.5: a job of 3840x2160 takes \d+ MiB .* allow (\d\.\d),"
    ):
        tasks_that_fit(0.5, 3840, 2160)
    needed_gib = (BASE_MIB + task_mib(640, 360)) / 1024
    with pytest.raises(InputError, match="smaller"):
        tasks_that_fit(needed_gib - 0.01, 640, 360)
