"""Every setting of a job, with unit, bounds and default.

The same models are the configuration file, the command line's options and the form in Prefect's UI.
"""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from latentsync.engines.settings import EngineSettings
from latentsync.faces.settings import FaceSettings
from latentsync.group import OPEN, Group
from latentsync.timecode import frame_at

LOCATION = "path or URL"
Location = Annotated[str, LOCATION]  # a relative one means the current folder, so commands make it absolute


class TimingSettings(Group):
    """Frame rate, and what happens when sound and picture differ in length or are damaged."""

    fps: str = Field(default="25", description="Output frame rate: a number, a fraction such as 30000/1001, or source")
    if_audio_longer: Literal["cut", "loop", "bounce", "hold"] = Field(
        default="cut", description="cut the sound, loop or bounce the picture, or hold its last frame"
    )
    if_video_longer: Literal["cut", "keep"] = Field(
        default="cut", description="cut the picture, or keep it with its original lips"
    )
    tail: Literal["silence", "original"] = Field(
        default="silence", description="Sound after the voice has ended, with if_video_longer = keep"
    )
    min_complete_percent: int = Field(
        default=95, ge=0, le=100, description="Refuse a damaged input of which less can be decoded; 0: only warn"
    )

    part_from: str = Field(
        default="", description="Make only a part: it begins here, in seconds, as 1:02:03.5 or as timecode 01:02:03:12"
    )
    part_to: str = Field(default="", description="Make only a part: it ends here; empty: at the end")

    @field_validator("part_from", "part_to")
    @classmethod
    def _is_a_place(cls, value: str) -> str:
        if value:
            frame_at(value, Fraction(25))
        return value

    @field_validator("fps")
    @classmethod
    def _fps_is_a_rate(cls, value: str) -> str:
        if value != "source" and not 1 <= _fraction(value) <= 240:
            raise ValueError(f"fps {value} is outside 1..240")
        return value

    @property
    def rate(self) -> Fraction | None:
        """Output frame rate; None: that of the source."""
        return None if self.fps == "source" else _fraction(self.fps)


class SegmentSettings(Group):
    """How the timeline is cut into pieces of work."""

    segment_seconds: float | None = Field(
        default=None,
        ge=0.5,
        le=3600,
        description="Length of one segment in seconds; not given: 20, or 10 where faces are made in the render",
    )
    overlap_frames: int = Field(default=16, ge=0, le=64, description="Frames shared by neighbouring face clips")
    silence: Literal["keep", "generate"] = Field(
        default="keep",
        description="Pauses of the voice in which the source's mouth is closed: keep the source's pixels, which "
        "takes no GPU, or generate them too",
    )


class EncodeSettings(Group):
    """The one lossy encode."""

    encoder: Literal["libx264", "libx265", "h264_nvenc", "hevc_nvenc"] = Field(
        default="libx264", description="Video encoder"
    )
    crf: int = Field(
        default=18, ge=0, le=51, description="Constant quality: lower is better and larger; 18 looks lossless"
    )
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"] = Field(
        default="veryfast", description="Encoder effort"
    )


class ScoreSettings(Group):
    """How good a segment must be, and what happens when it is not."""

    gate: Literal["off", "warn", "retry", "fail"] = Field(
        default="warn",
        description="off: nothing is measured; warn: tell which segments are below; retry: generate those again "
        "with other seeds and keep the best; fail: write no output",
    )
    tries: int = Field(default=2, ge=1, le=10, description="Times that a segment is generated again with gate = retry")
    max_offset_frames: int = Field(default=3, ge=0, le=10, description="Frames that the mouth may be early or late")
    min_correlation: float = Field(default=0.3, ge=-1, le=1, description="Of mouth opening and loudness")
    max_lip_leak: float = Field(default=0.3, ge=0, le=1, description="Share of silent frames with a moving mouth")
    max_seam: float = Field(default=1.5, ge=0, description="Gradient at the paste's edge over the source's")
    min_sharpness: float = Field(default=0.4, ge=0, description="Fine detail around the mouth over the source's")
    max_flicker: float = Field(default=4.0, ge=0, description="Grey levels of change that the source has not")
    max_jitter: float = Field(default=20.0, ge=0, description="Trembling of the lips, per mille of the face's height")
    min_face_share: float = Field(default=0.9, ge=0, le=1, description="Share of frames in which a face is seen again")
    syncnet: Location = Field(
        default="",
        description="Weights of SyncNet (the published syncnet_v2.model), path or URL, to measure LSE-D and LSE-C; "
        "empty: they are not measured",
    )
    max_lse_d: float = Field(default=10.0, ge=0, description="SyncNet's distance of lips and voice, with syncnet")
    min_lse_c: float = Field(default=3.0, ge=0, description="SyncNet's confidence that they go together, with syncnet")


class MarkSettings(Group):
    """How the finished file says that a model altered it."""

    metadata: bool = Field(
        default=True, description="Say in the file's metadata that a model altered it (IPTC's digital source type)"
    )
    label: str = Field(
        default="",
        max_length=80,
        pattern=r"^[ -~]*$",
        description="Text shown in the lower left corner of every frame, such as 'Made with AI' (ASCII); empty: none",
    )
    aigc_producer: str = Field(
        default="", description="Name or code of the producer, for the AIGC tag of GB 45438; empty: no such tag"
    )
    certificate: Path | None = Field(
        default=None, description="PEM file with the certificate chain that signs a C2PA manifest (mp4 and mov only)"
    )
    key: Path | None = Field(default=None, description="PEM file with the certificate's private key, no password")
    timestamp_url: str = Field(default="", description="Time stamp authority (RFC 3161) asked when signing")
    required: bool = Field(default=False, description="Refuse to run without certificate and key")


class RunSettings(Group):
    """Where and how the work is done."""

    work_dir: Location = Field(default="", description="Workspace: folder or fsspec URL; empty: ~/.cache/lipsync")
    disk_profile: str = Field(
        default="ssd",
        description="Write limits of the destination's disk: ssd, pl0, pl1, autopl, or a .yaml file of your own",
    )
    runner: Literal["threads", "dask"] = Field(default="threads", description="threads: this process; dask: a cluster")
    dask_address: str = Field(default="", description="Address of the Dask scheduler, such as tcp://10.0.0.5:8786")
    workers: int = Field(
        default=0, ge=0, le=256, description="Tasks at a time with runner = threads; 0: one per CPU core"
    )
    max_rss_gib: float | None = Field(
        default=None,
        gt=0,
        le=10_000,
        description="Resident memory in GiB that the processes of a job on one machine may take: as many tasks run "
        "at a time as fit (a Dask worker counts by itself); empty: no limit",
    )
    jobs_per_gpu: int = Field(default=1, ge=1, le=8, description="Segments that share one GPU at a time")
    retries: int = Field(default=3, ge=0, le=10, description="Retries of a task after a passing failure")
    retry_seconds: float = Field(default=2.0, ge=0, le=600, description="First back-off in seconds; doubles every time")
    cache: bool = Field(default=True, description="Reuse finished work of earlier runs")
    keep_work: bool = Field(
        default=True,
        description="Keep face clips and renders for later runs, within what the sweep leaves; "
        "otherwise they go, from a remote workspace too, once the output is published",
    )
    report_dir: Location = Field(
        default="",
        description="Folder for contact sheet and plots; empty: a deployment's run shows them in the UI only",
    )
    sidecar: bool = Field(
        default=False,
        description="Write the report beside the output, as OUTPUT.json: run, digests, settings, versions",
    )
    tags: list[str] = Field(
        default=[],
        description="Tags of the run in Prefect's UI and its report, such as a customer; lipsync report sums by them",
    )
    gpu_price_per_hour: float | None = Field(
        default=None, ge=0, description="Price of an hour of GPU, in any currency, for lipsync plan and the report"
    )
    serve_url: str = Field(
        default="",
        description="Address of a `lipsync serve` of the workspace's folder `runs`, or of the folder above report_dir, "
        "for links from the UI; empty: links to files",
    )
    notify_url: str = Field(default="", description="Webhook that gets a JSON message when the run ends")
    max_input_gib: float = Field(default=100.0, gt=0, le=10_000, description="Largest input read from a URL, in GiB")
    allow_private_urls: bool = Field(
        default=False,
        description="Let input URLs and the webhook lead to this machine and to private networks",
    )

    @field_validator("tags", mode="before")
    @classmethod
    def _tags_are_a_list(cls, value: object) -> object:
        return value if isinstance(value, list) else [tag.strip() for tag in str(value).split(",") if tag.strip()]

    def price(self, gpu_seconds: float | None) -> float | None:
        """What they cost; None where one of both is not known."""
        if gpu_seconds is None or self.gpu_price_per_hour is None:
            return None
        return round(gpu_seconds / 3600 * self.gpu_price_per_hour, 4)

    @field_validator("disk_profile")
    @classmethod
    def _own_profile_is_found_from_anywhere(cls, value: str) -> str:
        return str(Path(value).expanduser().absolute()) if value.endswith((".yaml", ".yml")) else value


class Settings(Group):
    """All settings of one job."""

    engine: EngineSettings = Field(default=EngineSettings(), json_schema_extra={OPEN: True})
    timing: TimingSettings = TimingSettings()
    faces: FaceSettings = FaceSettings()
    segments: SegmentSettings = SegmentSettings()
    encode: EncodeSettings = EncodeSettings()
    score: ScoreSettings = ScoreSettings()
    mark: MarkSettings = MarkSettings()
    run: RunSettings = RunSettings()

    @property
    def tags(self) -> set[str]:
        """Of a run with these settings: those given, and the engine's name."""
        return {*self.run.tags, self.engine.name}


def _fraction(text: str) -> Fraction:
    try:
        return Fraction(text).limit_denominator(1001)  # containers hold no more; 23.976024 means 24000/1001
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{text!r} is no frame rate: give a number, a fraction or 'source'") from None
