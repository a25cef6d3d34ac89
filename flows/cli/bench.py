"""`lipsync bench`: a table of what this machine does with an engine."""

import tempfile
from pathlib import Path
from typing import Annotated

import torch
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table

from flows.cli.bench_clip import FPS, BenchClip, measure_path, median_ms, random_voice, time_frames
from flows.cli.options import with_settings
from latentsync.engines.diffusion.engine import LatentSyncEngine
from latentsync.engines.protocol import WINDOW_FRAMES, Engine
from latentsync.engines.registry import load_engine
from latentsync.engines.settings import EngineSettings
from latentsync.errors import LipsyncError
from latentsync.forecast.bench_figures import BenchFigure, keep_figure
from latentsync.settings import Settings


@with_settings("engine")
def bench(
    *,
    random_weights: Annotated[bool, Parameter(negative="", help="No weight files: random ones")] = False,
    windows: Annotated[int, Parameter(validator=Number(gte=2), help="Windows of 16 frames to measure")] = 12,
    settings: Settings,
) -> None:
    """Measure the engine of the settings and print a table."""
    measure(settings.engine, random_weights, windows)


def measure(settings: EngineSettings, random_weights: bool, windows: int) -> None:
    """Measure, print, and keep for `lipsync plan`; with ``random_weights`` no files are needed."""
    random = settings.spec.load_random if random_weights else None
    engine = random(settings.own, 0) if random else load_engine(settings)
    warm_up = 2 * engine.windows_per_batch
    frames = WINDOW_FRAMES * (windows + warm_up)
    with tempfile.TemporaryDirectory() as folder:
        clip = BenchClip(Path(folder), frames, engine.resolution_px)
        voice = Path(folder) / "voice.npy"
        random_voice(engine, frames, voice)
        session = engine.session(voice, FPS, clip.context())
        speed = measure_path(clip, session, engine, warm_up * WINDOW_FRAMES)
        rows = [
            ("engine", f"{settings.name}, {engine.resolution_px} px, on {_device(engine)}"),
            ("whole path", f"{speed.frames_per_second:.2f} frames/s of 1080x1920"),
            ("window of 16 frames", f"{speed.window_ms:.0f} ms, batches of {engine.windows_per_batch}"),
            ("windows", f"{1000 / speed.window_ms:.2f} windows/s"),
            ("first window", f"{speed.first_window_seconds:.1f} s with loading and compiling"),
            *((name, f"{ms:.2f} ms per frame") for name, ms in time_frames(clip).items()),
        ]
    if isinstance(engine, LatentSyncEngine):
        rows += _diffusion_parts(engine)
    keep_figure(settings, BenchFigure(_device(engine), speed.window_ms / 1000, speed.first_window_seconds, _gpu_mib()))
    _show(rows + _ffmpeg_parts())


def _gpu_mib() -> int:
    return torch.cuda.max_memory_allocated() >> 20 if torch.cuda.is_available() else 0


def _diffusion_parts(engine: LatentSyncEngine) -> list[tuple[str, str]]:
    """Times of VAE and UNet for one batch, the arithmetic reached, and memory."""
    batch, size = engine.workload.windows, engine.resolution_px
    faces = torch.randint(0, 256, (batch, WINDOW_FRAMES, size, size, 3), dtype=torch.uint8, device=engine.device)
    tokens = torch.randn(batch * WINDOW_FRAMES, 50, 384, device=engine.device)
    masked, reference = engine.encode(faces)
    latents = engine.denoise(tokens, masked, reference)
    wait = torch.cuda.synchronize if engine.device.type == "cuda" else lambda: None
    parts = {
        "VAE encode": median_ms(lambda: engine.encode(faces), 3, wait),
        f"UNet, {engine.settings.steps} steps": median_ms(lambda: engine.denoise(tokens, masked, reference), 3, wait),
        "VAE decode": median_ms(lambda: engine.decode(latents, faces), 3, wait),
    }
    rows = [(name, f"{ms / batch:.1f} ms per window") for name, ms in parts.items()]
    tflop = _unet_tflop(engine) * engine.settings.steps
    unet_ms = next(ms for name, ms in parts.items() if name.startswith("UNet")) / batch
    if not engine.settings.deepcache:
        rows.append(("UNet arithmetic", f"{tflop:.0f} TFLOP per window, {1000 * tflop / unet_ms:.0f} TFLOP/s"))
    if engine.device.type == "cuda":
        rows.append(("GPU memory", f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB allocated at the peak"))
    return rows


def _unet_tflop(engine: LatentSyncEngine) -> float:
    """Operations of one UNet step on one window, guidance included, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    passes = 2 if engine.settings.guidance_scale > 1 else 1  # counted once: both may not fit side by side
    size = engine.resolution_px // 8
    kind = {"device": engine.device, "dtype": engine.dtype}
    sample = torch.zeros(1, 13, WINDOW_FRAMES, size, size, **kind)
    tokens = torch.zeros(WINDOW_FRAMES, 50, 384, **kind)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        engine.models.unet(sample, torch.tensor(1, device=engine.device), tokens)
    return passes * counter.get_total_flops() / 1e12


def _ffmpeg_parts() -> list[tuple[str, str]]:
    """Decode and encode of 1080x1920, where ffmpeg is there."""
    try:
        from flows.cli.bench_ffmpeg import time_ffmpeg
    except ImportError:
        return [("decode, encode", "not measured: PyAV or ffmpeg-python is not installed")]
    try:
        return [(name, f"{fps:.0f} frames/s") for name, fps in time_ffmpeg().items()]
    except LipsyncError as error:
        return [("decode, encode", f"not measured: {error}")]


def _device(engine: Engine) -> str:
    if isinstance(engine, LatentSyncEngine) and engine.device.type == "cuda":
        return f"{torch.cuda.get_device_name(engine.device)}, {engine.dtype}, torch {torch.__version__}"
    return f"CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _show(rows: list[tuple[str, str]]) -> None:
    table = Table("part", "measured")
    for row in rows:
        table.add_row(*row)
    Console(soft_wrap=True, width=110).print(table)
