"""What a whole job writes to its disk, second by second: does it stay within its profile?

Looks from outside at the kernel's count (/proc/PID/io) of the command and all its children, those that have ended
included. Workspace, destination and Prefect's files lie in one folder, so on one disk.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

from configs.loader import disk_profile
from latentsync.storage.disks import size_gib

LOOK_SECONDS = 0.1
WINDOW_SECONDS = 1.0


def main() -> None:
    """Run the job, print the figures, and fail where a second is beyond the profile."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.scratch, prefix="bench-disk-") as folder:
        profile = disk_profile(options.profile, size_gib(folder))
        samples = run(options, Path(folder))
    # Rate * time, and two chunks: the pacer's burst, and what an encoder writes between two looks at it.
    allowed_mb = profile.write_mb_per_second * WINDOW_SECONDS + 2 * profile.chunk_bytes / 1e6
    peak_mb = peak(samples, WINDOW_SECONDS) / 1e6
    total_mb, seconds = samples[-1][1] / 1e6, samples[-1][0]
    print(f"written {total_mb:.0f} MB in {seconds:.0f} s, {total_mb / seconds:.1f} MB/s on average")
    print(f"largest in {WINDOW_SECONDS:g} s: {peak_mb:.1f} MB; allowed {allowed_mb:.1f} MB (profile {options.profile})")
    sys.exit(peak_mb > allowed_mb)


def run(options: argparse.Namespace, folder: Path) -> list[tuple[float, int]]:
    """(seconds, bytes written so far) of the job, ten times a second."""
    command = [
        Path(sys.executable).with_name("lipsync"), "sync", options.video, options.audio, "-o", folder / "out.mp4",
        "--work-dir", folder / "work", "--disk-profile", options.profile,
    ]  # fmt: skip
    environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect")}
    began, samples = time.monotonic(), [(0.0, 0)]
    with (folder / "log").open("w+") as log:
        process = psutil.Popen([str(part) for part in command], env=environment, stdout=log, stderr=log)
        while process.poll() is None:
            samples.append((time.monotonic() - began, max(written_bytes(process), samples[-1][1])))
            time.sleep(LOOK_SECONDS)
        if process.returncode:
            log.seek(0)
            sys.exit(f"lipsync ended with {process.returncode}:\n{log.read()[-4000:]}")
    return samples


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
