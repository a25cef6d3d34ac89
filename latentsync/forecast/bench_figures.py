"""What `lipsync bench` measured on this machine, kept in the user's cache, one figure per engine and setting."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from latentsync.engines.settings import EngineSettings
from latentsync.storage.atomic import write_whole
from latentsync.storage.workspace import Workspace


@dataclass(frozen=True)
class BenchFigure:
    """How fast an engine is: per window of 16 frames, and before its first one."""

    machine: str  # the GPU, or CPU, and the libraries
    window_seconds: float
    first_window_seconds: float  # with loading and compiling
    gpu_mib: int


def keep_figure(settings: EngineSettings, figure: BenchFigure) -> None:
    """Remember what was measured with these settings, in place of an older figure."""
    figures = _read() | {_key(settings): asdict(figure)}
    write_whole(_file(), (json.dumps(figures, indent=2) + "\n").encode())


def kept_figure(settings: EngineSettings) -> BenchFigure | None:
    """The figure for these settings; None when they were never measured here."""
    found = _read().get(_key(settings))
    return BenchFigure(**found) if found else None


def _key(settings: EngineSettings) -> str:
    """All settings of the engine but its files and its seed: neither changes how fast it is."""
    own = settings.own.model_dump(mode="json", exclude={"weights", "seed"})
    return json.dumps([settings.name, own], sort_keys=True)


def _read() -> dict[str, dict]:
    return json.loads(_file().read_text()) if _file().is_file() else {}


def _file() -> Path:
    return Workspace.at("").root / "bench.json"
