"""One engine per process and setting, loaded once and kept warm for the next segment and job."""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from latentsync.engines.gpu_queue import gpu_place, visible_gpus
from latentsync.engines.protocol import Engine
from latentsync.errors import WeightsError
from latentsync.records import file_sha256
from latentsync.settings import EngineSettings, Settings

log = logging.getLogger(__name__)
_loading = threading.Lock()
_engines: dict[int, tuple[EngineSettings, Engine]] = {}  # the last of each GPU: older ones would keep their networks

PINNED_PX = {"warp": 512, "latentsync-1.6": 512, "latentsync-1.5": 256}


def resolution_px(settings: EngineSettings) -> int:
    """Side of the engine's aligned faces. Raises ``WeightsError`` when the weights do not tell."""
    if settings.name in PINNED_PX:
        return PINNED_PX[settings.name]
    from latentsync.engines.diffusion.checkpoints import resolution_of

    return resolution_of(_weights(settings))


def load_engine(settings: EngineSettings, gpu: int = 0) -> Engine:
    """The warm engine for ``settings``; engines with the same weights share their networks.

    Raises ``WeightsError`` or ``InputError`` when it cannot run.
    """
    with _loading:
        kept, engine = _engines.get(gpu, (None, None))
        if engine is None or kept != settings:
            engine = _load(settings, gpu)
            _engines[gpu] = settings, engine
        return engine


def check_engine(settings: EngineSettings, here: bool) -> None:
    """Refuse weights that are not there or not whole and, if it shall run ``here``, a GPU that is missing."""
    if settings.name == "warp":
        return
    weights = _weights(settings)
    resolution_px(settings)
    if here:
        from latentsync.engines.diffusion.checkpoints import check

        load_engine(settings)
        if findings := check(weights):
            raise WeightsError("; ".join(findings))


@contextmanager
def engine_on_gpu(settings: Settings, on_wait: Callable[[], None]) -> Iterator[Engine]:
    """The warm engine, with a place on a GPU of this host held for it if it needs one."""
    if not uses_gpu(settings.engine) or not (gpus := visible_gpus()):
        yield load_engine(settings.engine)
        return
    with gpu_place(gpus, settings.run.jobs_per_gpu, on_wait) as gpu:
        yield load_engine(settings.engine, gpu)


def engine_identity(settings: EngineSettings) -> dict[str, object]:
    """The settings that change what the engine makes, with the digest of its weights; no others."""
    if settings.name == "warp":
        return {"name": settings.name, "strength": settings.strength}
    fields = {"name", "steps", "guidance_scale", "seed", "scheduler", "deepcache", "deepcache_branch", "dtype"}
    return {**settings.model_dump(include=fields), "weights": _weights_digest(settings)}


def voice_rows(settings: EngineSettings, voice: Path, fps: Fraction, windows: np.ndarray) -> bytes:
    """The voice features that these (W, 2) windows hear, as bytes."""
    rows = np.load(voice, mmap_mode="r")
    if not len(windows):
        return b""
    start, end = int(windows[0, 0]), int(windows[-1, 1])
    if settings.name != "warp":  # 50 Hz; a frame hears rows c-4 .. c+5
        start, end = max(int(start * 50 / fps) - 4, 0), int((end - 1) * 50 / fps) + 6
    return np.ascontiguousarray(rows[start:end]).tobytes()


def uses_gpu(settings: EngineSettings) -> bool:
    """Whether the engine occupies a GPU while it generates."""
    return settings.name != "warp" and settings.device != "cpu"


def _load(settings: EngineSettings, gpu: int) -> Engine:
    log.info("loading engine %s", settings.name)
    if settings.name == "warp":
        from latentsync.engines.warp.engine import WarpEngine

        return WarpEngine(strength=settings.strength)
    from latentsync.engines.diffusion.engine import LatentSyncEngine

    return LatentSyncEngine.load(
        _weights(settings),
        resolution_px=resolution_px(settings),
        device=settings.device if settings.device == "cpu" else f"cuda:{gpu}",
        dtype=settings.dtype,
        steps=settings.steps,
        guidance_scale=settings.guidance_scale,
        seed=settings.seed,
        scheduler=settings.scheduler,
        deepcache=settings.deepcache or None,
        deepcache_branch=settings.deepcache_branch,
        compile=settings.compile,
        windows_per_batch=settings.windows_per_batch or "auto",
        gpu_high_watermark_gib=settings.gpu_high_watermark_gib,
        gpu_low_watermark_gib=settings.gpu_low_watermark_gib,
    )


def _weights(settings: EngineSettings) -> Path:
    if settings.weights is None:
        raise WeightsError(
            f"engine {settings.name} needs its weights: give --weights DIR "
            "(lipsync weights fetch DIR downloads them), or use --engine warp for a preview"
        )
    return settings.weights


def _weights_digest(settings: EngineSettings) -> str:
    if settings.weights is None:
        return ""
    digest = hashlib.sha256()
    for path in sorted(path for path in settings.weights.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(settings.weights)} {file_sha256(path)}\n".encode())
    return digest.hexdigest()
