"""LatentSync's settings, and what the pipeline has to know about it under each of its names."""

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from latentsync.engines.diffusion.published import RELEASES, ReleaseName
from latentsync.engines.protocol import Engine
from latentsync.engines.spec import EngineSpec
from latentsync.errors import WeightsError
from latentsync.group import Group

ROWS_PER_SECOND = 50  # whisper's, two mel frames each
ROWS_BEFORE, ROWS_AFTER = 4, 6  # a frame hears rows c-4 .. c+5 around its own
WHERE_OR_HOW_FAST = frozenset({"quality", "device", "gpu_high_watermark_gib", "gpu_low_watermark_gib"})
AFTER_VOICE = frozenset(
    {"steps", "guidance_scale", "guidance_start", "guidance_end", "seed", "scheduler", "deepcache", "deepcache_branch"}
    | {"dtype", "fused"}
)
QUALITIES: dict[str, dict[str, Any]] = {
    "exact": {},
    "balanced": {"deepcache": 3},
    "fast": {"scheduler": "dpm", "steps": 10, "deepcache": 3, "guidance_end": 0.6},
}


class LatentSyncSettings(Group):
    """The LatentSync diffusion model."""

    weights: Path | None = Field(default=None, description="Folder with the weights")
    quality: Literal["exact", "balanced", "fast"] = Field(
        default="exact",
        description="exact: as the reference; balanced: DeepCache 3; fast: 10 steps of dpm, DeepCache 3, guidance in "
        "the first 60 %. What is set beside it wins",
    )
    steps: int = Field(default=20, ge=1, le=100, description="Denoising steps per window")
    guidance_scale: float = Field(
        default=1.5, ge=1.0, le=5.0, description="Weight of the voice; 1 = one pass, above 2.5 jitters"
    )
    guidance_start: float = Field(default=0.0, ge=0.0, le=1.0, description="Share of the steps before guidance sets in")
    guidance_end: float = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="Share of the steps after which guidance ends; the others take half the time",
    )
    seed: int = Field(default=1247, ge=0, description="Seed of the noise")
    scheduler: Literal["ddim", "dpm", "euler", "heun", "unipc", "deis"] = Field(
        default="ddim",
        description="ddim: 20 steps; dpm: DPM-Solver++, good from 10; the others are computed by diffusers",
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
        default="auto", description="Number format; auto: float16 on a GPU"
    )
    fused: bool = Field(default=True, description="Fused networks where the GPU can run them; false: readable ones")
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

    @model_validator(mode="before")
    @classmethod
    def _quality_fills_in(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {**QUALITIES.get(str(given.get("quality", "exact")), {}), **given}


def rows_heard(frame: int, fps: Fraction) -> range:
    """Rows of the features that output frame ``frame`` hears; those beyond the ends repeat the first or last."""
    centre = int(frame * ROWS_PER_SECOND / fps)
    return range(centre - ROWS_BEFORE, centre + ROWS_AFTER)


def weights_folder(settings: LatentSyncSettings) -> Path:
    """Where the weights are; raises ``WeightsError`` when that is not said."""
    if settings.weights is None:
        raise WeightsError(
            "the latentsync engines need weights: give --weights DIR (lipsync weights fetch DIR downloads them), "
            "or use --engine warp for a preview"
        )
    return settings.weights


def _spec(name: str, release: ReleaseName, made_for_px: int | None = None) -> EngineSpec[LatentSyncSettings]:
    """The engine for weights of one resolution, or for those of any; ``release`` are those to fetch."""

    def resolution_px(settings: LatentSyncSettings) -> int:
        from latentsync.engines.diffusion.checkpoints import resolution_of

        return made_for_px or resolution_of(weights_folder(settings))

    def load(settings: LatentSyncSettings, gpu: int) -> Engine:
        from latentsync.engines.diffusion.engine import LatentSyncEngine

        return LatentSyncEngine.load(settings, resolution_px=resolution_px(settings), gpu=gpu)

    def load_random(settings: LatentSyncSettings, gpu: int) -> Engine:
        from latentsync.engines.diffusion.engine import LatentSyncEngine

        return LatentSyncEngine.random(settings, resolution_px=made_for_px or 512, gpu=gpu)

    def fetch(folder: Path) -> None:
        from latentsync.engines.diffusion.download import fetch

        fetch(RELEASES[release], folder)

    return EngineSpec(
        name=name,
        settings=LatentSyncSettings,
        resolution_px=resolution_px,
        rows_heard=rows_heard,
        load=load,
        load_random=load_random,
        check=_check,
        prepare=_prepare,
        fetch=fetch,
        uses_gpu=lambda settings: settings.device != "cpu",
        version=3,
        libraries=("torch", "diffusers", "transformers", "numpy", "opencv-contrib-python"),
        where_or_how_fast=WHERE_OR_HOW_FAST,
        after_voice=AFTER_VOICE,
    )


def _check(settings: LatentSyncSettings) -> None:
    from latentsync.engines.diffusion.checkpoints import check

    if findings := check(weights_folder(settings)):
        raise WeightsError("; ".join(findings))


def _prepare(settings: LatentSyncSettings) -> Path | None:
    from latentsync.engines.diffusion.converted import convert_once
    from latentsync.engines.diffusion.device import pick_device, pick_dtype

    return convert_once(weights_folder(settings), pick_dtype(settings.dtype, pick_device(settings.device)))


LATENTSYNC = _spec("latentsync", "ByteDance/LatentSync-1.6")
LATENTSYNC_16 = _spec("latentsync-1.6", "ByteDance/LatentSync-1.6", 512)
LATENTSYNC_15 = _spec("latentsync-1.5", "ByteDance/LatentSync-1.5", 256)
