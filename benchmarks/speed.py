"""How fast is a job, and where does its processor time go? Beside a plain ffmpeg transcode of the same file.

Processor time is read from outside, ten times a second; what processes use between the last look and their end is
told as "unseen". Unlike seconds, it hardly depends on what else the machine does.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.memory import ROOT, children_cpu_seconds, looped, row
from tasks.temporary_server import SERVER

INTERVAL_SECONDS = 0.1
KINDS = ("flow", "server", "encoders", "decoders", "others", "unseen")


class Cost(NamedTuple):
    """What a command took."""

    seconds: float
    cpu_seconds: dict[str, float]  # by kind of process

    @property
    def total(self) -> float:
        """Processor time of the whole process tree."""
        return sum(self.cpu_seconds.values())


def main() -> None:
    """Run the job and the transcode for every length, and print a row for each."""
    options = _options()
    options.scratch.mkdir(parents=True, exist_ok=True)
    print(row("minutes", "seconds", "CPU s", *KINDS, "ffmpeg s", "CPU s", "ratio", "frames/s"), flush=True)
    for minutes in options.minutes:
        with tempfile.TemporaryDirectory(dir=options.scratch, prefix="bench-speed-") as folder:
            print(_measured(options, minutes, Path(folder)), flush=True)


def _measured(options: argparse.Namespace, minutes: float, folder: Path) -> str:
    video, voice = looped(options.video, options.audio, minutes, folder)
    lipsync = Path(sys.executable).with_name("lipsync")
    job = cost_of(
        lipsync, "sync", video, voice, "-o", folder / "out.mp4", "--engine", "warp", "--work-dir", folder / "work",
        "--segment-seconds", options.segment_seconds,
    )  # fmt: skip
    plain = cost_of("ffmpeg", "-nostdin", "-v", "error", "-i", video, "-c:v", "libx264", "-crf", 18, folder / "x.mp4")
    frames = _frames(folder / "out.mp4")
    kinds = [f"{job.cpu_seconds[kind]:.1f}" for kind in KINDS]
    figures = [f"{plain.seconds:.1f}", f"{plain.total:.1f}", f"{job.total / plain.total:.2f}"]
    return row(
        f"{minutes:g}", f"{job.seconds:.1f}", f"{job.total:.1f}", *kinds, *figures, f"{frames / job.seconds:.1f}"
    )


def cost_of(*command: object) -> Cost:
    """Run a command to its end; it is told on stderr why one fails, and ends the benchmark."""
    began, before = time.monotonic(), children_cpu_seconds()
    process = psutil.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    seen: dict[int, tuple[str, float]] = {}
    while process.poll() is None:
        _look(process, seen)
        time.sleep(INTERVAL_SECONDS)
    if process.returncode:
        sys.exit(f"{command[0]} ended with {process.returncode}")
    cpu = defaultdict[str, float](float)
    for kind, seconds in seen.values():
        cpu[kind] += seconds
    cpu["unseen"] = max(children_cpu_seconds() - before - sum(cpu.values()), 0.0)
    return Cost(time.monotonic() - began, cpu)


def _look(root: psutil.Popen, seen: dict[int, tuple[str, float]]) -> None:
    for process in [root, *root.children(recursive=True)]:
        try:
            times, words = process.cpu_times(), process.cmdline()
        except psutil.Error:  # it has just ended
            continue
        if words:
            seen[process.pid] = _kind(words, process.pid == root.pid), times.user + times.system


def _kind(words: list[str], is_root: bool) -> str:
    if "ffmpeg" in Path(words[0]).name:
        return "encoders" if any(word.startswith("libx26") for word in words) else "decoders"
    if is_root:
        return "flow"
    return "server" if any(SERVER in word for word in words) else "others"


def _frames(path: Path) -> int:
    asked = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-count_packets", "-of", "csv=p=0"]
    return int(subprocess.check_output([*asked, "-show_entries", "stream=nb_read_packets", path]).strip(b",\n"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, help="clip to loop, in mp4")
    parser.add_argument("audio", type=Path, help="voice to loop")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1], help="lengths to run (default: 1)")
    parser.add_argument("--segment-seconds", type=float, default=20, help="length of a segment (default: 20)")
    parser.add_argument("--scratch", type=Path, default=ROOT / "out", help="folder for temporary files (default: out)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
