"""Kill a job with -9 at random moments, run it again, and look whether anything was lost or changed.

The job has six segments. A kill hits the command's process, its whole process tree or only Prefect's
temporary server. Some jobs are started again and killed again before they may finish.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from latentsync.publishing.report import Report, read_report
from tests.conftest import Clip
from tests.e2e.ledger import records, running
from tests.e2e.media import decoded_digest, make_clip
from tests.e2e.services import BIN, Services, ffmpegs_about, kill, wait_until

SECONDS = 7.68  # 192 frames: six segments of two windows
SEGMENT_SECONDS = SECONDS / 6
TARGETS = ("process", "tree", "server")
AGAIN = 0.25  # share of killed jobs that are killed once more
PATIENCE = 20  # times the undisturbed job: then it hangs
ORPHAN_SECONDS = 30.0
OLD = b"the old file"

Tasks = set[str]  # names of segments' tasks


@dataclass
class Kill:
    """What one kill hit, and what was done and begun at that moment."""

    target: str
    seconds: float
    done: Tasks
    begun: list[str]

    def __str__(self) -> str:
        return (
            f"{self.target} at {self.seconds:.1f} s ({len(self.done)} done, in flight: {' '.join(self.begun) or '-'})"
        )


@dataclass
class Chaos:
    """A job that is killed again and again; a trial ends when it has been finished and checked."""

    folder: Path
    services: Services
    clip: Clip
    dice: random.Random
    job_seconds: float = 0.0
    reference: Path = Path()
    kills: Counter[str] = field(default_factory=Counter)
    started: list[str] = field(default_factory=list)

    def measure(self) -> None:
        """Run the job undisturbed: its time and its output are the reference."""
        place = self._place("reference")
        self.finish(place)
        self.reference = place / "out.mp4"

    def trial(self, number: int, most: int) -> str:
        """Kill a new job up to ``most`` times, finish it, check it; a line that tells of it."""
        try:
            return self._trial(number, most)
        finally:
            for name in self.started:
                self.services.stop(name)  # also the servers that killed commands have left alone
            self.started.clear()

    def _trial(self, number: int, most: int) -> str:
        place = self._place(f"trial-{number:02d}")
        kills: list[Kill] = []
        while not kills or (len(kills) < most and self.dice.random() < AGAIN):
            hit = self.kill(place, self.dice.choice(TARGETS), self.dice.uniform(0, self.job_seconds))
            self.check_output(place, complete=not hit)
            if not hit:  # it was faster than the kill: the next one hits a new job
                place, kills = self._place(f"{place.name}-again"), []
            kills += hit
        began = time.monotonic()
        report = self.finish(place)
        made = _made(report)
        if again := made & kills[-1].done:
            raise AssertionError(f"made again although it was done: {sorted(again)}")
        self.check_output(place, complete=True)
        self.kills.update(kill.target for kill in kills)
        seconds = time.monotonic() - began
        hits = ", then ".join(map(str, kills))
        return f"{hits}; run again {seconds:.1f} s: made {len(made)} of {2 * len(report.segments)}, same frames"

    def kill(self, place: Path, target: str, seconds: float) -> list[Kill]:
        """Start the job, kill its ``target`` after ``seconds``; nothing when the job was done before."""
        job = self._start(place)
        try:
            self._expect_success(job.wait(seconds))
            return []
        except psutil.TimeoutExpired:
            tree = job.children(recursive=True)
        servers = [process for process in tree if "uvicorn" in _command(process)]
        for process in {"process": [job], "tree": [job, *tree], "server": servers or [job]}[target]:
            kill(process)
        if target == "server":
            job.wait(PATIENCE * self.job_seconds)  # well or badly, but it ends
        wait_until(lambda: not any(ffmpegs_about(place)), "no ffmpeg is left", ORPHAN_SECONDS)
        return [Kill(target, seconds, _done(place), _begun(place))]

    def finish(self, place: Path) -> Report:
        """Run the job to its end."""
        began = time.monotonic()
        self._expect_success(self._start(place).wait(PATIENCE * self.job_seconds or None))
        self.job_seconds = self.job_seconds or time.monotonic() - began
        return read_report(place / "report.json")

    def check_output(self, place: Path, complete: bool) -> None:
        """The output is the old file or the whole new one; nothing half-done stays after a complete run."""
        output = place / "out.mp4"
        if not complete and output.read_bytes() == OLD:
            return
        if output.read_bytes() != self.reference.read_bytes():
            assert decoded_digest(output) == decoded_digest(self.reference), f"{output} shows other frames"
        left = [*filter(_half_done, place.rglob(".*"))] if complete else []
        assert not left, f"left behind: {left}"

    def _place(self, name: str) -> Path:
        place = self.folder / name
        place.mkdir()
        (place / "out.mp4").write_bytes(OLD)
        return place

    def _start(self, place: Path) -> psutil.Popen:
        files = (self.clip.video, self.clip.voice, "-o", place / "out.mp4")
        options = ("--engine", "warp", "--segment-seconds", SEGMENT_SECONDS)
        folders = ("--work-dir", place / "work", "--report", place / "report.json")
        self.started.append(f"{place.name}-{len(self.started)}")
        return self.services.start(self.started[-1], BIN / "lipsync", "sync", *files, *options, *folders)

    def _expect_success(self, status: int | None) -> None:
        log = self.services.log(self.started[-1]).read_text(errors="replace")
        assert status == 0, f"{self.started[-1]} ended with {status}: {log[-500:]}"


def _half_done(path: Path) -> bool:
    """Whether a hidden file is a leftover: not a lock, nor in the record of a dead run, which the sweep deletes."""
    return path.suffix != ".lock" and "runs" not in path.parts


def _done(place: Path) -> Tasks:
    """Tasks whose results are on the disk: what the next run must not make again."""
    return {name for record in records(place / "work") if is_counted(name := record["took"]["task"])}


def _begun(place: Path) -> list[str]:
    return sorted(running(place / "work"))


def _made(report: Report) -> Tasks:
    return {
        f"{stage}-{segment.index:03d}"
        for segment in report.segments
        for stage, task in segment.tasks.items()
        if not task.cached
    }


def is_counted(task: str) -> bool:
    """Whether a task belongs to a segment."""
    return task.startswith(("generate-", "render-"))


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def run(folder: Path, kills: int, seed: int) -> bool:
    """Kill jobs ``kills`` times; print a line for each job and a summary; True when all went well."""
    good = bad = 0
    with Services(folder / "services") as services:
        chaos = Chaos(folder, services, make_clip(folder / "input", SECONDS), random.Random(seed))
        chaos.measure()
        print(f"undisturbed: {chaos.job_seconds:.1f} s; seed {seed}", flush=True)
        while good + bad < kills:
            number, before = good + bad, chaos.kills.total()
            try:
                told = chaos.trial(number, most=kills - number)
                good += chaos.kills.total() - before
            except AssertionError as error:
                told = f"FAILED: {error}"
                bad += 1
            print(f"{number:2}: {told}", flush=True)
    hits = ", ".join(f"{count} {target}" for target, count in chaos.kills.items())
    print(f"{good} of {good + bad} kills ({hits}): run again complete, frame-identical, only what was lost made again")
    return not bad


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lipsync-chaos-") as scratch:
        sys.exit(0 if run(Path(scratch), options.kills, options.seed) else 1)
