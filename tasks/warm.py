"""What tasks would otherwise wait for: done when a Dask worker starts, and while the command's server starts."""

import contextlib
import os
from pathlib import Path

from latentsync.engines.registry import load_engine
from latentsync.engines.settings import EngineSettings
from latentsync.errors import InputError
from latentsync.faces.detectors.registry import load_detector
from latentsync.records import file_sha256
from latentsync.settings import Settings
from tasks.arenas import bound_malloc
from tasks.runners import runner_of

WARM_ENGINE = "LIPSYNC_WARM_ENGINE"  # environment variable: EngineSettings as JSON


def dask_setup(worker: object) -> None:
    """Called by Dask when the worker starts."""
    bound_malloc()
    import tasks.segments  # noqa: F401  torch, cv2 and Prefect are imported once, here

    if engine := os.environ.get(WARM_ENGINE):
        load_engine(EngineSettings.model_validate_json(engine)).preload()


def warm_up(settings: Settings, *inputs: str) -> None:
    """Take the digests of inputs that lie here, and load a detector once; what is wrong is for the probe to say.

    For tasks in this process alone: others know nothing of it.
    """
    if runner_of(settings.run).elsewhere:
        return
    with contextlib.suppress(OSError, InputError):
        for path in filter(Path.is_file, map(Path, inputs)):
            file_sha256(path)
        load_detector(settings.faces.detector)
