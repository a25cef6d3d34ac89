"""`lipsync bench`: one table of what this machine does with an engine."""

import json
from typing import Annotated

import torch
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table

from flows.cli.bench_clip import bound_clip, measure_path, time_frames
from flows.cli.bench_diffusion import busy_percent, gpu_busy, measure_parts, steady
from flows.cli.options import with_settings
from latentsync.engines.diffusion.engine import LatentSyncEngine
from latentsync.engines.protocol import WINDOW_FRAMES, Engine
from latentsync.engines.registry import load_engine
from latentsync.engines.settings import EngineSettings
from latentsync.errors import InputError, LipsyncError
from latentsync.forecast.bench_figures import BenchFigure, keep_figure
from latentsync.group import Group
from latentsync.settings import Settings

Column = dict[str, float | str]
BUSY_BATCHES = 6  # enough for its share; a profile of more takes minutes to read


@with_settings("engine")
def bench(
    *,
    random_weights: Annotated[bool, Parameter(negative="", help="No weight files: random ones")] = False,
    windows: Annotated[int, Parameter(validator=Number(gte=2), help="Windows of 16 frames to measure")] = 12,
    presets: Annotated[bool, Parameter(negative="", help="Measure every --quality, side by side")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print JSON instead of a table")] = False,
    settings: Settings,
) -> None:
    """Measure the engine of the settings and print a table."""
    columns = {
        name: measure(each, random_weights, windows) for name, each in _measured(settings.engine, presets).items()
    }
    machine = _ffmpeg_parts()
    if as_json:
        print(json.dumps({"settings": columns, "machine": machine}, indent=1))
    else:
        _show(columns, machine)


def measure(settings: EngineSettings, random_weights: bool, windows: int) -> Column:
    """Figures by name: whole path, parts, memory; kept for `lipsync plan`. ``random_weights`` need no files."""
    random = settings.spec.load_random if random_weights else None
    engine = random(settings.own, 0) if random else load_engine(settings)
    batch_frames = engine.windows_per_batch * WINDOW_FRAMES
    warm_up = 2 * batch_frames
    frames = warm_up + WINDOW_FRAMES * windows + batch_frames
    with bound_clip(engine, frames, settings.spec.alignment) as (clip, session):
        speed = measure_path(clip, session, engine, warm_up)
        found: Column = {
            "engine": f"{settings.name}, {engine.resolution_px} px, batches of {engine.windows_per_batch}",
            "device": _device(engine),
            "frames/s, 1080x1920": speed.frames_per_second,
            "first window, s": speed.first_window_seconds,
            "window, ms": speed.window_ms,
            **{f"{name} on the CPU, ms/frame": ms for name, ms in time_frames(clip).items()},
        }
        if isinstance(engine, LatentSyncEngine) and engine.device.type == "cuda":
            short = clip.first(BUSY_BATCHES * engine.windows_per_batch)
            spans = gpu_busy(lambda: measure_path(short, session, engine, batch_frames))
            found["GPU busy, %"] = busy_percent(steady(spans))
    if isinstance(engine, LatentSyncEngine):
        found |= measure_parts(engine)
    keep_figure(settings, BenchFigure(_device(engine), speed.window_ms / 1000, speed.first_window_seconds, _gpu_mib()))
    return found


def _gpu_mib() -> int:
    return torch.cuda.max_memory_allocated() >> 20 if torch.cuda.is_available() else 0


def _measured(settings: EngineSettings, presets: bool) -> dict[str, EngineSettings]:
    """What to measure, by the heading of its column. Raises ``InputError`` where there are no presets."""
    if not presets:
        return {settings.name: settings}
    own: Group = settings.own
    field = type(own).model_fields.get("quality")
    if field is None:
        raise InputError(f"--presets: the engine {settings.name} has none; choose --engine latentsync")
    given = own.model_dump(include=own.model_fields_set - {"quality"})
    group = settings.name.partition("-")[0]
    return {
        quality: settings.model_copy(update={group: type(own)(**{**given, "quality": quality})})
        for quality in ("exact", "balanced", "fast")
    }


def _ffmpeg_parts() -> Column:
    """Decode and encode of 1080x1920, where ffmpeg is there."""
    try:
        from flows.cli.bench_ffmpeg import time_ffmpeg
    except ImportError:
        return {"decode, encode": "not measured: PyAV or ffmpeg-python is not installed"}
    try:
        return {f"{name}, frames/s": fps for name, fps in time_ffmpeg().items()}
    except LipsyncError as error:
        return {"decode, encode": f"not measured: {error}"}


def _device(engine: Engine) -> str:
    torch_version = f"torch {torch.__version__}"
    if isinstance(engine, LatentSyncEngine) and engine.device.type == "cuda":
        return f"{torch.cuda.get_device_name(engine.device)}, {engine.dtype}, {torch_version}"
    return f"CPU, {torch.get_num_threads()} threads, {torch_version}"


def _show(columns: dict[str, Column], machine: Column) -> None:
    table = Table("", *columns)
    for row in next(iter(columns.values())):
        table.add_row(row, *(_cell(column[row]) for column in columns.values()))
    for row, value in machine.items():
        table.add_row(row, _cell(value))
    Console(soft_wrap=True, width=120).print(table)


def _cell(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2f}"
