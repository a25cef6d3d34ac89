"""One engine per process and setting, loaded once and kept warm for the next segment and job."""

import logging
import threading
from functools import lru_cache

from latentsync.errors import WeightsError
from latentsync.generation.engine import Engine
from latentsync.settings import EngineSettings

log = logging.getLogger(__name__)
_loading = threading.Lock()

RESOLUTION_PX = {"warp": 512, "latentsync-1.6": 512, "latentsync-1.5": 256}  # pinned to the weights


def load_engine(settings: EngineSettings) -> Engine:
    """The warm engine for ``settings``. Raises ``WeightsError`` or ``InputError`` when it cannot run."""
    with _loading:
        return _load(settings)


def uses_gpu(settings: EngineSettings) -> bool:
    """Whether the engine occupies a GPU while it generates."""
    return settings.name != "warp" and settings.device != "cpu"


@lru_cache(maxsize=1)
def _load(settings: EngineSettings) -> Engine:
    log.info("loading engine %s", settings.name)
    if settings.name == "warp":
        from latentsync.generation.warp import WarpEngine

        return WarpEngine(strength=settings.strength)
    if settings.weights is None:
        raise WeightsError(
            f"engine {settings.name} needs its weights: give --weights DIR "
            "(lipsync weights fetch downloads them), or use --engine warp for a preview"
        )
    from latentsync.generation.diffusion import LatentSyncEngine

    return LatentSyncEngine.load(
        settings.weights,
        resolution_px=RESOLUTION_PX[settings.name],
        device=settings.device,
        dtype=settings.dtype,
        steps=settings.steps,
        guidance_scale=settings.guidance_scale,
        seed=settings.seed,
        scheduler=settings.scheduler,
        deepcache=settings.deepcache or None,
        compile=settings.compile,
        windows_per_batch=settings.windows_per_batch or "auto",
        gpu_high_watermark_gib=settings.gpu_high_watermark_gib,
        gpu_low_watermark_gib=settings.gpu_low_watermark_gib,
    )
