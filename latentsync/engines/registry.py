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
from latentsync.engines.gpu_use import holding
from latentsync.engines.protocol import Engine
from latentsync.engines.settings import EngineSettings
from latentsync.records import file_sha256
from latentsync.settings import Settings
from latentsync.storage.mapped import open_array
from latentsync.versions import versions

log = logging.getLogger(__name__)
_loading = threading.Lock()
_engines: dict[int, tuple[EngineSettings, Engine]] = {}  # the last of each GPU: older ones would keep their networks


def resolution_px(settings: EngineSettings) -> int:
    """Side of the engine's aligned faces. Raises ``WeightsError`` when the weights do not tell."""
    return settings.spec.resolution_px(settings.own)


def uses_gpu(settings: EngineSettings) -> bool:
    """Whether the engine occupies a GPU while it generates."""
    return settings.spec.uses_gpu(settings.own)


def load_engine(settings: EngineSettings, gpu: int = 0) -> Engine:
    """The warm engine for ``settings``; engines with the same weights share their networks.

    Raises ``WeightsError`` or ``InputError`` when it cannot run.
    """
    with _loading:
        kept, engine = _engines.get(gpu, (None, None))
        if engine is None or kept != settings:
            log.info("loading engine %s", settings.name)
            engine = settings.spec.load(settings.own, gpu)
            _engines[gpu] = settings, engine
        return engine


def check_engine(settings: EngineSettings, here: bool) -> None:
    """Refuse weights that are not there or not whole and, if it shall run ``here``, a GPU that is missing.

    Raises ``WeightsError`` or ``InputError``.
    """
    resolution_px(settings)
    if here:
        load_engine(settings)
        settings.spec.check(settings.own)


@contextmanager
def engine_on_gpu(settings: Settings, on_wait: Callable[[], None]) -> Iterator[Engine]:
    """The warm engine, with a place on a GPU of this host held for it if it needs one."""
    if not uses_gpu(settings.engine) or not (gpus := visible_gpus()):
        yield load_engine(settings.engine)
        return
    places = settings.run.jobs_per_gpu
    with gpu_place(gpus, places, on_wait) as gpu, holding(1 / places):
        yield load_engine(settings.engine, gpu)


def engine_identity(settings: EngineSettings) -> dict[str, object]:
    """All that changes the engine's faces: for the keys of generated clips."""
    return _identity(settings, settings.spec.where_or_how_fast)


def voice_identity(settings: EngineSettings) -> dict[str, object]:
    """All of the engine that changes its voice features: for their key."""
    return _identity(settings, settings.spec.where_or_how_fast | settings.spec.after_voice)


def is_direct(settings: EngineSettings) -> bool:
    """Whether faces are made while rendering, with no clip of them between."""
    return settings.spec.direct


def sees_whole_clip(settings: EngineSettings) -> bool:
    """Whether a face depends on more of the clip's mouths than those of its window."""
    return settings.spec.sees_whole_clip


def voice_rows(settings: EngineSettings, voice: Path, fps: Fraction, windows: np.ndarray) -> bytes:
    """The voice features that these (W, 2) windows hear, as bytes."""
    if not len(windows):
        return b""
    first, last = (settings.spec.rows_heard(int(frame), fps) for frame in (windows[0, 0], windows[-1, 1] - 1))
    rows = open_array(voice)
    return np.ascontiguousarray(rows[max(first.start, 0) : last.stop]).tobytes()


def _identity(settings: EngineSettings, without: frozenset[str]) -> dict[str, object]:
    spec, own = settings.spec, settings.own
    return {
        "name": spec.name,
        "version": spec.version,
        "libraries": versions(spec.libraries),
        "settings": {name: _content(value) for name, value in own if name not in without},
    }


def _content(value: object) -> object:
    """A setting as it is, but of a file or folder what is in it; what is hidden in a folder is not part of it."""
    if not isinstance(value, Path):
        return value
    files = sorted(path for path in value.rglob("*") if path.is_file()) if value.is_dir() else [value]
    named = {path.relative_to(value): path for path in files}
    shown = [name for name in named if not any(part.startswith(".") for part in name.parts)]
    lines = [f"{name} {file_sha256(named[name])}\n" for name in shown]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
