"""CPU seconds of tasks: their shares add up to what the process took."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tasks.usage import CpuMeter, cpu_seconds


def _work(until: float) -> None:
    while cpu_seconds() < until:
        sum(range(10_000))


def test_tasks_side_by_side_share_what_the_process_takes():
    meter, began, both = CpuMeter(), cpu_seconds(), Barrier(2)

    def task(_number: int) -> float:
        with meter.use() as use:
            both.wait()
            _work(began + 0.3)
            both.wait()
        return use.seconds

    with ThreadPoolExecutor(2) as pool:
        shares = list(pool.map(task, range(2)))
    assert 0.29 <= sum(shares) <= cpu_seconds() - began + 0.01
    assert abs(shares[0] - shares[1]) <= 0.1 * sum(shares)


def test_what_others_take_before_and_between_is_nobody_s():
    meter = CpuMeter()
    with meter.use():
        pass
    _work(cpu_seconds() + 0.2)
    began = time.process_time()
    with meter.use() as use:
        sum(range(100_000))
    assert use.seconds <= time.process_time() - began + 0.03  # os.times counts in 1/100 s
