"""Is memory flat? Runs a clip looped to 1, 5 and 10 minutes and prints peak memory and speed of each.

Memory is sampled from outside, twice a second: what is resident for the command and all its children,
shared pages counted once (see MemoryWatch).
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from flows.observe.memory_watch import MemoryWatch
from latentsync.publishing.report import Report, read_report

ROOT = Path(__file__).parents[1]
STAGES = ("probe", "voice", "faces", "track", "plan", "generate", "render", "join", "publish")
PROMISE = 1.05  # peak at any length over peak at the shortest


class Measurement(NamedTuple):
    """One run of the flow."""

    minutes: float
    peak_mib: float
    report: Report


def main() -> None:
    """Measure every length, print a table, and fail where memory grows with length."""
    options = _options()
    options.scratch.mkdir(parents=True, exist_ok=True)
    done: list[Measurement] = []
    print(_row("minutes", "peak MiB", "ratio", "frames/s", "seconds", *STAGES), flush=True)
    for minutes in options.minutes:
        with tempfile.TemporaryDirectory(dir=options.scratch, prefix="bench-memory-") as folder:
            done.append(measure(*_clip(options, Path(folder) / "clip"), minutes, Path(folder)))
        print(_line(done[-1], done[0].peak_mib), flush=True)
    worst = max(one.peak_mib for one in done) / done[0].peak_mib
    print(f"largest peak is {worst:.3f} x that of {done[0].minutes:g} min; promised is at most {PROMISE}")
    sys.exit(worst > PROMISE)


def measure(video: Path, audio: Path, minutes: float, folder: Path) -> Measurement:
    """Loop the clip to ``minutes`` and run the flow on it, with everything it writes in ``folder``."""
    loop("-map 0:v:0 -c copy", video, minutes, folder / "video.mp4")
    loop("-map 0:a:0 -c pcm_s16le", audio, minutes, folder / "voice.wav")
    command = [
        Path(sys.executable).with_name("lipsync"), "sync", folder / "video.mp4", folder / "voice.wav",
        "-o", folder / "out.mp4", "--engine", "warp", "--work-dir", folder / "work", "--report", folder / "report.json",
    ]  # fmt: skip
    with (folder / "log").open("w+") as log:
        run = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        with MemoryWatch(run.pid) as watch:
            run.wait()
        if run.returncode:
            log.seek(0)
            sys.exit(f"lipsync ended with {run.returncode} after {minutes:g} min of video:\n{log.read()[-4000:]}")
    return Measurement(minutes, watch.peak_rss_mib, read_report(folder / "report.json"))


def loop(options: str, source: Path, minutes: float, out: Path) -> None:
    """Repeat ``source`` without a gap until ``minutes`` are full."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-stream_loop", "-1", "-i", source, "-t", str(minutes * 60)]
    subprocess.run([*command, *options.split(), out], check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="clip to loop, in mp4 (default: the demo's)")
    parser.add_argument("--audio", type=Path, help="voice to loop (default: the demo's)")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 5, 10], help="lengths to run (default: 1 5 10)")
    parser.add_argument("--scratch", type=Path, default=ROOT / "out", help="folder for temporary files (default: out)")
    return parser.parse_args()


def _clip(options: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    if options.video and options.audio:
        return options.video, options.audio
    subprocess.run([sys.executable, ROOT / "demo" / "make_input.py", folder], check=True, stdout=subprocess.DEVNULL)
    return options.video or folder / "video.mp4", options.audio or folder / "voice.wav"


def _line(one: Measurement, first_peak_mib: float) -> str:
    stages = [f"{one.report.stages[stage].seconds:.1f}" for stage in STAGES]
    speed = f"{one.report.frames / one.report.seconds:.1f}"
    ratio = f"{one.peak_mib / first_peak_mib:.3f}"
    return _row(f"{one.minutes:g}", f"{one.peak_mib:.0f}", ratio, speed, f"{one.report.seconds:.1f}", *stages)


def _row(*cells: str) -> str:
    return " ".join(f"{cell:>8}" for cell in cells)


if __name__ == "__main__":
    main()
