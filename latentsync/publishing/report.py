"""`report.json`: what a run did, as a contract that other programs may rely on.

Figures come from the records that tasks return, so they are true on every runner and machine; a figure
that nobody has is absent, never 0.
"""

from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PlainSerializer, model_validator

from latentsync.records import Record
from latentsync.segments.verdict import Verdict
from latentsync.storage.fs import write_text

# Always "n/d", also where d is 1: str(Fraction(25)) would be "25".
Rate = Annotated[
    Fraction,
    Field(gt=0),
    PlainSerializer(lambda rate: f"{rate.numerator}/{rate.denominator}", return_type=str),
]
Seconds = Annotated[float, Field(ge=0, description="Seconds of wall time")]
Mib = Annotated[float, Field(ge=0, description="Memory in MiB (2^20 bytes)")]


class StageReport(Record):
    """The tasks of a stage."""

    seconds: Seconds = Field(description="Summed over the tasks that this run made, wherever they ran")
    tasks: int = Field(ge=1)
    cached: int = Field(ge=0, description="Tasks whose result an earlier run had made")
    peak_rss_mib: Mib | None = Field(
        default=None,
        description="Largest resident memory of the flow's process tree while tasks of this stage ran (others may have "
        "run beside), looked at every 2 s; absent with tasks elsewhere, and for a stage that no look met",
    )
    expected_mib: Mib | None = Field(default=None, description="What the start check reckoned with, a low estimate")
    written_mib: Mib | None = Field(default=None, description="Size of the work files that this run made")


class TaskReport(Record):
    """One task of one segment; of a cached one, made by an earlier run, this run has no figures."""

    cached: bool
    seconds: Seconds | None = None
    attempts: int | None = Field(default=None, ge=1, description="1 without a retry")
    worker: str | None = Field(default=None, description="Host, or host and GPU")
    cpu_seconds: float | None = Field(
        default=None,
        ge=0,
        description="Of the worker's process and its children; tasks side by side share equally",
    )
    peak_rss_mib: Mib | None = Field(default=None, description="Of the worker's process, so far")
    peak_gpu_mib: Mib | None = None
    gpu_seconds: Seconds | None = Field(default=None, description="With a GPU, or a share of one, to itself")
    gpu_memory_steps: int | None = Field(
        default=None, ge=0, description="Times that GPU memory ran out, after which less was done at a time"
    )


class SegmentReport(Record):
    """A segment ``[start, end)`` in output frames and its tasks by stage."""

    index: int = Field(ge=0)
    start: int = Field(ge=0)
    end: int
    tasks: dict[str, TaskReport]
    verdict: Verdict | None = Field(default=None, description="Its score, and what the gate made of it")


class FileReport(Record):
    """A file that was read or written."""

    location: str
    sha256: str
    size_bytes: int = Field(ge=0)


class Report(Record):
    """A finished run. Its segments cover the frames without gap or overlap, or it is not accepted."""

    run_id: str
    run: str = Field(description="Name of the flow run")
    video: FileReport
    audio: FileReport
    output: FileReport
    start: int = Field(default=0, ge=0, description="Frame of the whole timeline that a part of it begins with")
    frames: int = Field(ge=1, description="Frames of the output")
    fps: Rate = Field(description='Frames per second of the output as a fraction, such as "30000/1001"')
    width: int = Field(ge=1, description="Width of the output in pixels")
    height: int = Field(ge=1, description="Height of the output in pixels")
    engine: str = Field(description="Name of the engine that made the faces")
    settings: dict[str, Any] = Field(description="All settings of the job")
    versions: dict[str, str] = Field(description="Of this package and of what computes")
    tags: list[str] = Field(default=[], description="Of the settings, the flow run, and the engine's name")
    ended: datetime | None = Field(default=None, description="ISO 8601 in UTC")
    seconds: Seconds
    cpu_seconds: float | None = Field(
        default=None, ge=0, description="Of the flow's process and its children, and of tasks that ran elsewhere"
    )
    gpu_seconds: float | None = Field(
        default=None, ge=0, description="That tasks held a GPU, by their share of it; absent without a GPU"
    )
    price: float | None = Field(default=None, ge=0, description="Of the GPU seconds, by run.gpu_price_per_hour")
    peak_rss_mib: Mib = Field(description="Largest resident memory of a process tree or worker of the run")
    peak_gpu_mib: Mib | None = Field(default=None, description="Largest GPU memory; absent without a GPU")
    work_mib: Mib | None = Field(default=None, description="Size of all work files that this run made")
    work_mib_per_minute: Mib | None = Field(default=None, description="The same per minute of output")
    stages: dict[str, StageReport] = Field(min_length=1)
    segments: list[SegmentReport] = Field(min_length=1)

    @property
    def summary(self) -> str:
        """The run in one line."""
        work = (
            f", work files {self.work_mib:.0f} MiB ({self.work_mib_per_minute:.0f} a minute)" if self.work_mib else ""
        )
        return (
            f"{self.frames} frames in {len(self.segments)} segments, {self.seconds:.1f} s "
            f"({self.frames / self.seconds:.0f} frames/s), peak memory {self.peak_rss_mib:.0f} MiB{work}"
        )

    @model_validator(mode="after")
    def _segments_cover_the_frames(self) -> Self:
        at = self.start
        for index, segment in enumerate(self.segments, self.segments[0].index):
            if (segment.index, segment.start) != (index, at) or segment.end <= at:
                raise ValueError(f"segment {segment.index} [{segment.start}, {segment.end}) does not follow frame {at}")
            at = segment.end
        if at != self.start + self.frames:
            raise ValueError(f"the segments end at frame {at}, the output at {self.start + self.frames}")
        return self


def write_report(report: Report, location: str) -> None:
    """Write ``report`` as JSON, atomically. Raises InputError where ``location`` cannot be written."""
    write_text(report.model_dump_json(indent=2, exclude_none=True) + "\n", location)


def sidecar_of(output: str) -> str:
    """Where the report of ``output`` lies beside it."""
    return f"{output}.json"


def read_report(path: Path) -> Report:
    """Read a report back. Raises ValueError when it does not keep the contract."""
    return Report.model_validate_json(path.read_bytes())
