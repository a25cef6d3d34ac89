"""What can be said of a job before it is made: the contract of ``lipsync plan --json``.

Figures that nobody has are absent (null), never 0. Times are seconds from the start of the output.
"""

from typing import Literal

from pydantic import Field

from latentsync.records import Record

UnderVoice = Literal["nothing", "noise", "music"]


class Stretch(Record):
    """A part of the video that deserves a look, to within the interval of the samples."""

    start_seconds: float
    end_seconds: float
    what: str


class Person(Record):
    """A face that was seen, told from others by its place in the picture."""

    share: float = Field(description="Of the sampled frames: how many show it")
    chosen_share: float = Field(description="Of the sampled frames: in how many its lips would be moved")
    why: str = Field(description="Why its lips would be moved, or why not")
    first_seconds: float
    width_px: int = Field(description="Median width of the face in source pixels")
    height_px: int
    thumbnail: str = Field(description="A picture of it as a data: URI")


class Faces(Record):
    """What sampled frames show."""

    sampled_frames: int
    interval_seconds: float
    usable_share: float = Field(description="Share of the sampled frames with a face that can be worked on")
    smallest_px: int | None = Field(description="Height of the chosen face in source pixels: 5th percentile")
    median_px: int | None
    shot_changes: int = Field(description="Neighbouring samples that show different pictures")
    people: list[Person]
    stretches: list[Stretch]


class Voice(Record):
    """Levels are RMS of 40 ms in dB of full scale."""

    seconds: float
    silent_share: float = Field(description="Share of 40 ms pieces that are silent")
    pauses: int = Field(description="Silences of half a second or more")
    peak_db: float
    speech_db: float = Field(description="95th percentile of the levels")
    floor_db: float = Field(description="10th percentile of the levels")
    clipped_share: float = Field(description="Share of samples at full scale, in runs of 3 or more")
    under_voice: UnderVoice


class Lengths(Record):
    """How long the parts are, and what the settings make of it."""

    video_seconds: float
    voice_seconds: float
    output_seconds: float
    frames: int
    fps: str = Field(description='As a fraction, such as "30000/1001"')
    width: int
    height: int
    policy: str


class Cost(Record):
    """What the job will take. Without figures of a GPU, its seconds and its price are absent."""

    segments: int
    windows: int = Field(description="Windows of 16 frames that are generated, overlaps included")
    cpu_seconds: float = Field(description="Of all processes and cores together")
    gpu_seconds: float | None
    wall_seconds: float | None = Field(description="On this machine, if nothing else runs")
    work_bytes: int = Field(description="What the workspace takes")
    stage_bytes: dict[str, int] = Field(description="The same by stage")
    output_bytes: int
    memory_mib: int = Field(description="Resident memory of all processes at the peak")
    gpu_memory_mib: int | None
    price: float | None = Field(description="In the currency of run.gpu_price_per_hour")
    basis: str = Field(description="What the figures were measured on")


class Forecast(Record):
    """A job before it is made."""

    video: str
    audio: str
    engine: str
    lengths: Lengths
    faces: Faces
    voice: Voice
    cost: Cost | None = Field(description="Absent where no face was found to measure with")
    problems: list[str] = Field(description="Why the job cannot succeed; empty: it can")
    warnings: list[str] = Field(description="What will look or sound worse than it could")
