import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flows.observe.memory_watch import MemoryWatch
from latentsync.review.plots import MemorySample
from tests.e2e.services import wait_until

CHILD = """
import sys
block = bytearray(64 * 2**20)
block[::4096] = b"x" * len(block[::4096])
print("ready", flush=True)
sys.stdin.read()
"""


def child_with_64_mib() -> subprocess.Popen:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_memory_of_child_processes_counts():
    watch = MemoryWatch()
    watch.sample()
    before = watch.peak_rss_mib
    child = child_with_64_mib()
    watch.sample()
    child.communicate()
    assert watch.peak_rss_mib - before == pytest.approx(68, abs=14)  # its block and a small interpreter


def test_another_process_can_be_watched_from_outside():
    child = child_with_64_mib()
    with MemoryWatch(child.pid) as watch:
        child.communicate()
    assert 60 < watch.peak_rss_mib < 90
    assert watch.samples[-1].rss_mib < 1  # it has ended, and the watch outlives it


def test_each_stage_has_the_peak_of_the_samples_in_which_it_worked():
    at_work = {"generate"}
    watch = MemoryWatch(doing=lambda: at_work)
    watch.sample()
    child = child_with_64_mib()
    at_work = {"generate", "render"}
    watch.sample()
    child.communicate()
    at_work = {"join"}
    watch.sample()
    assert watch.peaks_mib["generate"] == watch.peaks_mib["render"] == watch.peak_rss_mib
    assert watch.peaks_mib["join"] < watch.peak_rss_mib - 50


FORK_SHARING_64_MIB = """
import mmap, os
from flows.observe.memory_watch import MemoryWatch

block = mmap.mmap(-1, 64 * 2**20)  # shared by both
block.write(b"x" * len(block))
watch = MemoryWatch()
watch.sample()
alone = watch.peak_rss_mib
to_parent, from_child = os.pipe()
to_child, from_parent = os.pipe()
if os.fork() == 0:
    os.close(from_parent)
    sum(block[::4096])  # maps the pages here too
    os.write(from_child, b"mapped")
    os.read(to_child, 1)
    os._exit(0)
os.read(to_parent, 6)
watch.sample()
os.close(from_parent)
os.wait()
print(watch.peak_rss_mib - alone)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells proportional set sizes")
def test_pages_shared_with_a_fork_count_once():
    run = subprocess.run([sys.executable, "-c", FORK_SHARING_64_MIB], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 32


HELD_BEFORE_EXEC = """
import os, sys
block = b"x" * 64 * 2**20
print("ready", flush=True)
reading = (os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)  # waits for somebody who writes
os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}, file_actions=[reading])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what processes share")
def test_a_child_that_is_not_another_program_yet_does_not_count(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen([sys.executable, "-c", HELD_BEFORE_EXEC, fifo], stdout=subprocess.PIPE) as run:
        assert run.stdout
        run.stdout.readline()
        watch, parent = MemoryWatch(run.pid), psutil.Process(run.pid)
        wait_until(parent.children, "the child is there", 30)
        watch.sample()
        assert 64 < watch.peak_rss_mib < 110
        fifo.write_bytes(b"")


def test_samples_stay_few_and_keep_their_peaks():
    now = iter(range(10_000))
    watch = MemoryWatch(samples_max=16, clock=lambda: next(now))
    sizes = [float(index % 7) for index in range(300)]
    sizes[123] = 99.0
    for size in sizes:
        watch._series.add(MemorySample(next(now), size, 0.0))
        assert len(watch.samples) <= 16
    assert max(sample.rss_mib for sample in watch.samples) == 99.0
    times = [sample.seconds for sample in watch.samples]
    assert times == sorted(times)
    assert times[-1] == max(times)
