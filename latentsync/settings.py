"""Every setting of a job, with unit, bounds and default.

The same models are the configuration file, the command line's options and the form in Prefect's UI.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

EngineName = Literal["warp", "latentsync", "latentsync-1.6", "latentsync-1.5"]


_WORDS = {"crf": "CRF", "fps": "frames per second", "dtype": "number format", "gib": "GiB", "gpu": "GPU", "url": "URL"}


def _title(name: str, _info: object) -> str:
    """Heading of a setting in the form."""
    words = " ".join(_WORDS.get(word, word) for word in name.split("_"))
    return words[0].upper() + words[1:]


def _show_bounds(schema: dict[str, Any]) -> None:
    """Write the bounds, which the form checks but does not show, into the descriptions."""
    for field in schema.get("properties", {}).values():
        low, high = field.get("minimum"), field.get("maximum")
        if low is not None and high is not None:
            field["description"] += f" ({low} to {high})"


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", field_title_generator=_title, json_schema_extra=_show_bounds)


class EngineSettings(_Group):
    """How new faces are made."""

    name: EngineName = Field(
        default="warp",
        description="warp: a preview on the CPU without weights; latentsync: the diffusion model at the resolution "
        "its weights were made for; -1.6: only 512 px, -1.5: only 256 px",
    )
    weights: Path | None = Field(
        default=None, description="Folder with the LatentSync weights (latentsync engines only)"
    )
    steps: int = Field(default=20, ge=1, le=100, description="Denoising steps per window")
    guidance_scale: float = Field(
        default=1.5, ge=1.0, le=5.0, description="Weight of the voice; 1 = one pass, above 2.5 jitters"
    )
    seed: int = Field(default=1247, ge=0, description="Seed of the noise")
    scheduler: Literal["ddim", "dpm"] = Field(
        default="ddim", description="ddim: 20 steps; dpm: DPM-Solver++, good from 10"
    )
    deepcache: int = Field(
        default=0, ge=0, le=10, description="Full UNet pass every n-th step only (3 is usual); 0 = every step"
    )
    deepcache_branch: int = Field(
        default=0, ge=0, le=10, description="Skip connection up to which DeepCache recomputes; 0 is the fastest"
    )
    device: Literal["auto", "cuda", "cpu"] = Field(
        default="auto", description="auto: a CUDA GPU, else an error; cpu: slow"
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto", description="Number format of the weights; auto: by the GPU's capability"
    )
    compile: bool = Field(default=True, description="torch.compile on the GPU: slower first window, faster afterwards")
    windows_per_batch: int = Field(
        default=1,
        ge=0,
        le=16,
        description="Windows of 16 frames per GPU batch; 1 fills a GPU, 0: as many as its memory holds",
    )
    gpu_high_watermark_gib: float | None = Field(
        default=None, gt=0, description="GiB of GPU memory above which caches are freed; empty: 90 % of the GPU"
    )
    gpu_low_watermark_gib: float | None = Field(
        default=None, gt=0, description="GiB of GPU memory that a clean-up aims for; empty: 70 % of the GPU"
    )
    strength: float = Field(default=1.0, ge=0.1, le=2.0, description="How wide the warp engine opens the mouth")


class TimingSettings(_Group):
    """Frame rate and what happens when sound and picture differ in length."""

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


class FaceSettings(_Group):
    """Which face speaks."""

    choice: str = Field(default="largest", description="largest, center, or X,Y: the face nearest to that pixel")
    detector: Literal["auto", "mediapipe", "insightface"] = Field(
        default="auto", description="auto: InsightFace when its files are present, else mediapipe"
    )

    @field_validator("choice")
    @classmethod
    def _choice_is_known(cls, value: str) -> str:
        if value not in ("largest", "center"):
            _point(value)
        return value

    @property
    def target(self) -> str | tuple[float, float]:
        """largest, center, or the pixel (x, y)."""
        return self.choice if self.choice in ("largest", "center") else _point(self.choice)


class SegmentSettings(_Group):
    """How the timeline is cut into pieces of work."""

    segment_seconds: float = Field(default=20.0, ge=0.5, le=3600, description="Length of one segment in seconds")
    overlap_frames: int = Field(default=16, ge=0, le=64, description="Frames shared by neighbouring face clips")


class EncodeSettings(_Group):
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


class RunSettings(_Group):
    """Where and how the work is done."""

    work_dir: str = Field(default="", description="Workspace: folder or fsspec URL; empty: ~/.cache/lipsync")
    disk_profile: str = Field(
        default="ssd", description="Write limits of the destination: ssd, pl0 or a file in configs/disks"
    )
    runner: Literal["threads", "dask"] = Field(default="threads", description="threads: this process; dask: a cluster")
    dask_address: str = Field(default="", description="Address of the Dask scheduler, such as tcp://10.0.0.5:8786")
    workers: int = Field(
        default=0, ge=0, le=256, description="Tasks at a time with runner = threads; 0: one per CPU core"
    )
    jobs_per_gpu: int = Field(default=1, ge=1, le=8, description="Segments that share one GPU at a time")
    retries: int = Field(default=3, ge=0, le=10, description="Retries of a task after a passing failure")
    retry_seconds: float = Field(default=2.0, ge=0, le=600, description="First back-off in seconds; doubles every time")
    cache: bool = Field(default=True, description="Reuse finished work of earlier runs")
    report_dir: str = Field(
        default="",
        description="Folder for contact sheet and plots; empty: a deployment's run shows them in the UI only",
    )
    notify_url: str = Field(default="", description="Webhook that gets a JSON message when the run ends")


class Settings(_Group):
    """All settings of one job."""

    engine: EngineSettings = EngineSettings()
    timing: TimingSettings = TimingSettings()
    faces: FaceSettings = FaceSettings()
    segments: SegmentSettings = SegmentSettings()
    encode: EncodeSettings = EncodeSettings()
    run: RunSettings = RunSettings()


def _fraction(text: str) -> Fraction:
    try:
        return Fraction(text).limit_denominator(1001)  # containers hold no more; 23.976024 means 24000/1001
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{text!r} is no frame rate: give a number, a fraction or 'source'") from None


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is no choice of a face: give largest, center or X,Y in pixels") from None
    return x, y
