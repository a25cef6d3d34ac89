"""Is memory flat, and time linear? Runs a clip looped to 1, 10, 60 and 120 minutes; prints memory and speed of each.

Memory is sampled from outside, five times a second: what is resident for the command and all its children,
shared pages counted once (see MemoryWatch). Two samples a second miss the peak of a minute, which lasts
less, but not that of an hour, which has it often. Inputs are looped without coding; one length is on the
disk at a time.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from flows.observe.memory_watch import MemoryWatch
from latentsync.publishing.report import Report, read_report

ROOT = Path(__file__).parents[1]
STAGES = ("probe", "voice", "faces", "track", "plan", "render", "join", "publish")
HEADER = ("minutes", "peak MiB", "ratio", "frames/s", "CPU s", "ms/frame", "seconds")
SAMPLE_SECONDS = 0.2
PROMISE = 1.05  # peak at any length over peak at the shortest
DISK_GIB_PER_MINUTE, SPARE_GIB = 0.1, 10  # of inputs, renders and output at 1080x1920; left to others
GIB = 1024**3


class Measurement(NamedTuple):
    """One run of the flow."""

    minutes: float
    peak_mib: float
    cpu_seconds: float  # of all processes that have been waited for
    report: Report


def main() -> None:
    """Measure every length, print a table, and fail where memory grows with length."""
    options = _options()
    options.scratch.mkdir(parents=True, exist_ok=True)
    _check_space(options)
    done: list[Measurement] = []
    print(row(*HEADER, *STAGES), flush=True)
    for minutes in options.minutes:
        with tempfile.TemporaryDirectory(dir=options.scratch, prefix="bench-memory-") as folder:
            done.append(measure(*_clip(options, Path(folder) / "clip"), minutes, Path(folder)))
        print(_line(done[-1], done[0]), flush=True)
    worst = max(one.peak_mib for one in done) / done[0].peak_mib
    slowest = min(speed(one) for one in done) / speed(done[0])
    print(f"largest peak is {worst:.3f} x that of {done[0].minutes:g} min; promised is at most {PROMISE}")
    print(f"slowest is {slowest:.3f} x the frames/s of {done[0].minutes:g} min")
    sys.exit(worst > PROMISE)


def measure(video: Path, audio: Path, minutes: float, folder: Path, *options: str) -> Measurement:
    """Loop the clip to ``minutes`` and run the flow on it, with everything it writes in ``folder``."""
    command = [
        Path(sys.executable).with_name("lipsync"), "sync", *looped(video, audio, minutes, folder),
        "-o", folder / "out.mp4", "--engine", "warp", "--work-dir", folder / "work", "--report", folder / "report.json",
        *options,
    ]  # fmt: skip
    before = children_cpu_seconds()
    with (folder / "log").open("w+") as log:
        run = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        with MemoryWatch(run.pid, SAMPLE_SECONDS) as watch:
            run.wait()
        if run.returncode:
            log.seek(0)
            sys.exit(f"lipsync ended with {run.returncode} after {minutes:g} min of video:\n{log.read()[-4000:]}")
    return Measurement(
        minutes, watch.peak_rss_mib, children_cpu_seconds() - before, read_report(folder / "report.json")
    )


def speed(one: Measurement) -> float:
    """Frames per second of the flow."""
    return one.report.frames / one.report.seconds


def looped(video: Path, audio: Path, minutes: float, folder: Path) -> tuple[Path, Path]:
    """Both repeated without a gap until ``minutes`` are full, as files in ``folder``."""
    long_video, long_audio = folder / "video.mp4", folder / "voice.wav"
    _loop("-map 0:v:0 -c copy", video, minutes, long_video)
    _loop("-map 0:a:0 -c pcm_s16le", audio, minutes, long_audio)
    return long_video, long_audio


def children_cpu_seconds() -> float:
    """Processor time of all processes that were started from here and have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def row(*cells: str) -> str:
    """A line of a table."""
    return " ".join(f"{cell:>8}" for cell in cells)


def _loop(options: str, source: Path, minutes: float, out: Path) -> None:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-stream_loop", "-1", "-i", source, "-t", str(minutes * 60)]
    subprocess.run([*command, *options.split(), out], check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="clip to loop, in mp4 (default: the demo's)")
    parser.add_argument("--audio", type=Path, help="voice to loop (default: the demo's)")
    parser.add_argument(
        "--minutes", type=float, nargs="+", default=[1, 10, 60, 120], help="lengths (default: 1 10 60 120)"
    )
    parser.add_argument("--scratch", type=Path, default=ROOT / "out", help="folder for temporary files (default: out)")
    return parser.parse_args()


def _clip(options: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    if options.video and options.audio:
        return options.video, options.audio
    subprocess.run([sys.executable, ROOT / "demo" / "make_input.py", folder], check=True, stdout=subprocess.DEVNULL)
    return options.video or folder / "video.mp4", options.audio or folder / "voice.wav"


def _check_space(options: argparse.Namespace) -> None:
    needed_gib = max(options.minutes) * DISK_GIB_PER_MINUTE + SPARE_GIB
    free_gib = shutil.disk_usage(options.scratch).free / GIB
    if free_gib < needed_gib:
        sys.exit(f"{options.scratch} has {free_gib:.0f} GiB free, {needed_gib:.0f} are needed: give another --scratch")


def _line(one: Measurement, first: Measurement) -> str:
    stages = [f"{one.report.stages[stage].seconds:.1f}" for stage in STAGES]
    ratio, cpu = f"{one.peak_mib / first.peak_mib:.3f}", f"{one.cpu_seconds:.0f}"
    milliseconds = f"{1000 * one.cpu_seconds / one.report.frames:.1f}"
    figures = [f"{one.peak_mib:.0f}", ratio, f"{speed(one):.1f}", cpu, milliseconds, f"{one.report.seconds:.1f}"]
    return row(f"{one.minutes:g}", *figures, *stages)


if __name__ == "__main__":
    main()
