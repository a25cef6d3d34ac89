"""`report.json`: what a run did, as a contract that other programs may rely on."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PlainSerializer, model_validator

from latentsync.records import Record
from latentsync.storage.atomic import explained, write_whole

# Always "n/d", also where d is 1: str(Fraction(25)) would be "25".
Rate = Annotated[
    Fraction,
    Field(gt=0),
    PlainSerializer(lambda rate: f"{rate.numerator}/{rate.denominator}", return_type=str),
]
Seconds = Annotated[float, Field(ge=0, description="Wall time in seconds")]
Mib = Annotated[float, Field(ge=0, description="Memory in MiB (2^20 bytes)")]


class StageReport(Record):
    """From the start of a stage's first task to the end of its last; stages overlap, so the sum is more."""

    seconds: Seconds


class Stages(Record):
    """One entry for each stage of the flow, in the order in which they start."""

    probe: StageReport
    voice: StageReport
    faces: StageReport
    plan: StageReport
    generate: StageReport
    render: StageReport
    join: StageReport
    publish: StageReport


class TaskReport(Record):
    """One task of one segment; a cached one ran in an earlier run: no seconds, no attempts."""

    cached: bool
    seconds: Seconds
    attempts: int = Field(ge=0, description="Runs of the task in this run of the flow: 1 without a retry")


class SegmentReport(Record):
    """A segment ``[start, end)`` in output frames and its two tasks."""

    index: int = Field(ge=0)
    start: int = Field(ge=0)
    end: int
    generate: TaskReport
    render: TaskReport


class Report(Record):
    """A finished run. Its segments cover the frames without gap or overlap, or it is not accepted."""

    frames: int = Field(ge=1, description="Frames of the output")
    fps: Rate = Field(description='Frames per second of the output as a fraction, such as "30000/1001"')
    width: int = Field(ge=1, description="Width of the output in pixels")
    height: int = Field(ge=1, description="Height of the output in pixels")
    engine: str = Field(description="Name of the engine that made the faces")
    seconds: Seconds
    peak_rss_mib: Mib = Field(description="Largest resident memory of the whole process tree in MiB")
    peak_gpu_mib: Mib = Field(description="Largest GPU memory of the process tree in MiB; 0 without a GPU")
    stages: Stages
    segments: list[SegmentReport] = Field(min_length=1)

    @model_validator(mode="after")
    def _segments_cover_the_frames(self) -> Self:
        at = 0
        for index, segment in enumerate(self.segments):
            if (segment.index, segment.start) != (index, at) or segment.end <= at:
                raise ValueError(f"segment {segment.index} [{segment.start}, {segment.end}) does not follow frame {at}")
            at = segment.end
        if at != self.frames:
            raise ValueError(f"the segments end at frame {at}, the output has {self.frames} frames")
        return self


def write_report(report: Report, path: Path) -> None:
    """Write ``report`` as JSON, atomically. Raises InputError where ``path`` cannot be written."""
    with explained(path):
        write_whole(path, (report.model_dump_json(indent=2) + "\n").encode())


def read_report(path: Path) -> Report:
    """Read a report back. Raises ValueError when it does not keep the contract."""
    return Report.model_validate_json(path.read_bytes())
