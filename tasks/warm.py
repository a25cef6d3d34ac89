"""Preloaded by Dask workers: import what tasks need and load the engine before the first segment asks."""

import os

from latentsync.engines.registry import load_engine
from latentsync.engines.settings import EngineSettings
from tasks.arenas import limit_malloc_arenas

WARM_ENGINE = "LIPSYNC_WARM_ENGINE"  # environment variable: EngineSettings as JSON


def dask_setup(worker: object) -> None:
    """Called by Dask when the worker starts."""
    limit_malloc_arenas()
    import tasks.segments  # noqa: F401  torch, cv2 and Prefect are imported once, here

    if engine := os.environ.get(WARM_ENGINE):
        load_engine(EngineSettings.model_validate_json(engine)).preload()
