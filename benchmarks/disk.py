"""What a whole job writes to its disk, second by second: does it stay within its profile?

Looks from outside, ten times a second: at the kernel's count (/proc/PID/io) of the command and all its children, those
that have ended included; and at the whole disk (/proc/diskstats) and machine (/proc/meminfo), others' writes included,
so let nothing else run. Workspace, destination and Prefect's files lie in one folder, so on one disk.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from configs.loader import disk_profile
from latentsync.publishing.report import read_report
from latentsync.storage.disks import size_gib

LOOK_SECONDS = 0.1
WINDOW_SECONDS = 1.0
WRITES, FLUSHES = 7, 18  # columns of /proc/diskstats: writes completed, flush requests completed


class Sample(NamedTuple):
    """What was counted until now; None where the disk has no counters of its own."""

    seconds: float
    written_bytes: int  # of the job
    writes: int | None  # of the disk, as a cloud counts them
    flushes: int | None  # of the disk: one or more for every fsync
    dirty_bytes: int  # of the machine, now


def main() -> None:
    """Run the job, print the figures, and fail where a second is beyond the profile."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.scratch, prefix="bench-disk-") as folder:
        profile = disk_profile(options.profile, size_gib(folder))
        samples = run(options, Path(folder))
        report = read_report(Path(folder) / "report.json")
    # Rate * time, and two chunks: the pacer's burst, and what an encoder writes between two looks at it.
    allowed_mb = profile.write_mb_per_second * WINDOW_SECONDS + 2 * profile.chunk_bytes / 1e6
    peak_mb = peak([(one.seconds, one.written_bytes) for one in samples], WINDOW_SECONDS) / 1e6
    total_mb, seconds = samples[-1].written_bytes / 1e6, samples[-1].seconds
    minutes = float(report.frames / report.fps) / 60
    print(f"written {total_mb:.0f} MB in {seconds:.0f} s, {total_mb / minutes:.0f} MB per minute of video")
    print(f"largest in {WINDOW_SECONDS:g} s: {peak_mb:.1f} MB; allowed {allowed_mb:.1f} MB (profile {options.profile})")
    for name in ("writes", "flushes"):
        counts = [(one.seconds, count) for one in samples if (count := getattr(one, name)) is not None]
        if counts:
            most, total = peak(counts, WINDOW_SECONDS), counts[-1][1] - counts[0][1]
            print(f"{name} of the whole disk: {total}, at most {most} in {WINDOW_SECONDS:g} s")
    before, most = samples[0].dirty_bytes / 1e6, max(one.dirty_bytes for one in samples) / 1e6
    print(f"dirty pages of the machine: {before:.0f} MB before, at most {most:.0f} MB")
    sys.exit(peak_mb > allowed_mb)


def run(options: argparse.Namespace, folder: Path) -> list[Sample]:
    """The job, looked at ten times a second."""
    command = [
        Path(sys.executable).with_name("lipsync"), "sync", options.video, options.audio, "-o", folder / "out.mp4",
        "--work-dir", folder / "work", "--disk-profile", options.profile, "--report", folder / "report.json",
    ]  # fmt: skip
    environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect")}
    os.sync()  # what others have written does not count
    began, samples = time.monotonic(), [Sample(0.0, 0, *disk_counts(folder), dirty_bytes())]
    with (folder / "log").open("w+") as log:
        process = psutil.Popen([str(part) for part in command], env=environment, stdout=log, stderr=log)
        while process.poll() is None:
            written = max(written_bytes(process), samples[-1].written_bytes)
            samples.append(Sample(time.monotonic() - began, written, *disk_counts(folder), dirty_bytes()))
            time.sleep(LOOK_SECONDS)
        if process.returncode:
            log.seek(0)
            sys.exit(f"lipsync ended with {process.returncode}:\n{log.read()[-4000:]}")
    return samples


def disk_counts(folder: Path) -> tuple[int | None, int | None]:
    """Writes and flushes that the disk of a folder has completed since the machine started."""
    device = folder.stat().st_dev
    for line in Path("/proc/diskstats").read_text().splitlines():
        cells = line.split()
        if (int(cells[0]), int(cells[1])) == (os.major(device), os.minor(device)):
            return int(cells[WRITES]), int(cells[FLUSHES])
    return None, None


def dirty_bytes() -> int:
    """Of pages that are to be written, or being written."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(lines[name].split()[0]) for name in ("Dirty", "Writeback")) * 1024


def written_bytes(root: psutil.Process) -> int:
    """Of a process and all below it; a process has taken over the count of its children that have ended."""
    total = 0
    for pid in _tree(root):
        try:
            lines = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
        except OSError:  # it has ended
            continue
        total += int(lines["write_bytes"])
    return total


def peak(samples: list[tuple[float, int]], window_seconds: float) -> int:
    """The most that was written in any ``window_seconds``."""
    most, first = 0, 0
    for now, written in samples:
        while samples[first][0] < now - window_seconds:
            first += 1
        most = max(most, written - samples[first][1])
    return most


def _tree(root: psutil.Process) -> list[int]:
    try:
        return [root.pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.Error:
        return []


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("audio", type=Path)
    parser.add_argument("--profile", default="pl0", help="as --disk-profile (default: pl0)")
    parser.add_argument("--scratch", type=Path, help="folder on the disk to be watched")
    return parser.parse_args()


if __name__ == "__main__":
    main()
