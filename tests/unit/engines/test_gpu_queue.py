import subprocess
import sys
import threading
from pathlib import Path

from latentsync.engines.gpu_queue import gpu_place

HOLD = """
import sys, pathlib
from latentsync.engines.gpu_queue import gpu_place
with gpu_place(["gpu-a"], 1, lambda: None, pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def _never() -> None:
    raise AssertionError("had to wait")


def test_jobs_spread_over_the_gpus_before_they_share_one(tmp_path: Path) -> None:
    gpus = ["gpu-a", "gpu-b"]
    with (
        gpu_place(gpus, 2, _never, tmp_path) as first,
        gpu_place(gpus, 2, _never, tmp_path) as second,
        gpu_place(gpus, 2, _never, tmp_path) as third,
    ):
        assert (first, second, third) == (0, 1, 0)


def test_a_full_gpu_makes_the_next_job_wait_until_it_is_free(tmp_path: Path) -> None:
    waits, got = threading.Event(), threading.Event()

    def second() -> None:
        with gpu_place(["gpu-a"], 1, waits.set, tmp_path):
            got.set()

    with gpu_place(["gpu-a"], 1, _never, tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10)
        assert not got.is_set()
    assert got.wait(10)
    thread.join()


def test_a_killed_holder_frees_its_place(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        waits = threading.Event()
        thread = threading.Thread(target=lambda: _enter(tmp_path, waits))
        thread.start()
        assert waits.wait(10)
        holder.kill()
        thread.join(10)
        assert not thread.is_alive()


def _enter(folder: Path, waits: threading.Event) -> None:
    with gpu_place(["gpu-a"], 1, waits.set, folder):
        pass
