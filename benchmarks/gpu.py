"""What the LatentSync engine does on this GPU with random full-size weights.

Usage: python -m benchmarks.gpu [speed] [segments] [precision] [ladder] [jobs]   (all without arguments)
"""

import gc
import logging
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flows.cli.bench_clip import BenchClip, PathSpeed, bound_clip, measure_path
from latentsync.engines.diffusion.engine import LatentSyncEngine
from latentsync.engines.diffusion.spec import LATENTSYNC, QUALITIES, LatentSyncSettings
from latentsync.engines.keep_mask import keep_mask
from latentsync.engines.protocol import WINDOW_FRAMES, Session
from latentsync.segments.faces import generate_faces
from tests.unit.engines.diffusion.weights_on_disk import write_full_weights

GIB = 2**30
CAPS_GIB = (20, 16, 12, 8)
JOBS = 20
RUNS, SPEED_WINDOWS = 3, 8
SEGMENTED_FRAMES, SEGMENT_FRAMES = 4 * WINDOW_FRAMES + 7, (20, 45)
RESOLUTION_PX = 512
SETTINGS: dict[str, dict[str, Any]] = {
    "float16": {"dtype": "float16"},
    "bfloat16": {"dtype": "bfloat16"},
    "float16, readable": {"dtype": "float16", "fused": False},
    "balanced": {"quality": "balanced"},
    "fast": {"quality": "fast"},
    "guidance in the first 60 %": {"guidance_end": 0.6},
    "10 steps of dpm": {"scheduler": "dpm", "steps": 10},
}


def speed() -> None:
    """Frames per second of the whole path, several runs of each quality."""
    for quality in QUALITIES:
        engine = LatentSyncEngine.random(LatentSyncSettings.model_validate({"quality": quality}))
        with bound_clip(engine, (SPEED_WINDOWS + 3) * WINDOW_FRAMES, LATENTSYNC.alignment) as (clip, session):
            runs = [measure_path(clip, session, engine, 2 * WINDOW_FRAMES) for _ in range(RUNS)]
        figures = "  ".join(f"{run.frames_per_second:6.2f}" for run in runs)
        print(f"{quality:10}{figures} frames/s, {_median(runs):.1f} ms a window", flush=True)


def _median(runs: list[PathSpeed]) -> float:
    return float(np.median([run.window_ms for run in runs]))


def segments() -> None:
    """Whether a clip made in segments of any length is the clip made at once, bit for bit."""
    for quality, batch in (("exact", 1), ("fast", 1), ("fast", 2)):
        engine = LatentSyncEngine.random(
            LatentSyncSettings.model_validate({"quality": quality, "windows_per_batch": batch})
        )
        with bound_clip(engine, SEGMENTED_FRAMES, LATENTSYNC.alignment) as (clip, session):
            whole = _faces(clip, session, batch, SEGMENTED_FRAMES)
            for length in SEGMENT_FRAMES:
                parted = _faces(clip, session, batch, length)
                equal = "equal, bit for bit" if np.array_equal(whole, parted) else "DIFFERENT"
                print(f"{quality}, batches of {batch}: segments of {length:3} frames and the whole are {equal}")


def _faces(clip: BenchClip, session: Session, windows_per_batch: int, length: int) -> np.ndarray:
    """All faces of the clip, made in segments of ``length`` frames."""
    made: list[np.ndarray] = []
    for start in range(0, clip.frames, length):
        end = min(start + length, clip.frames)
        made += generate_faces(clip.source(), session, start, end, windows_per_batch)
    return np.stack(made)


def precision() -> None:
    """The settings against float32 on the readable networks: the same weights, window and noise."""
    with tempfile.TemporaryDirectory() as folder:
        weights = write_full_weights(Path(folder) / "weights", "cuda")
        expected = _made(weights, dtype="float32", fused=False)
        print("against float32              latents' cosine   face in the mask")
        for name, settings in SETTINGS.items():
            latents, picture = _made(weights, **settings)
            cosine = torch.nn.functional.cosine_similarity(latents.flatten(), expected[0].flatten(), dim=0)
            error = np.mean((picture - expected[1]) ** 2)
            print(f"{name:28} {cosine.item():15.6f}   {10 * np.log10(255**2 / error):.1f} dB", flush=True)


def _made(weights: Path, **settings: Any) -> tuple[torch.Tensor, np.ndarray]:
    """Latents, and the part of the picture that is generated."""
    engine = LatentSyncEngine.load(LatentSyncSettings(weights=weights, **settings), resolution_px=RESOLUTION_PX)
    generator = torch.Generator("cuda").manual_seed(5)
    shape = (1, WINDOW_FRAMES, RESOLUTION_PX, RESOLUTION_PX, 3)
    faces = torch.randint(0, 256, shape, dtype=torch.uint8, device="cuda", generator=generator)
    tokens = torch.randn(WINDOW_FRAMES, 50, 384, device="cuda", generator=generator)
    latents = engine.denoise(tokens, *engine.encode(faces))
    picture = engine.decode(latents, faces)[0].float().cpu().numpy()
    return latents.double(), picture[:, keep_mask(RESOLUTION_PX) < 0.5]


def ladder() -> None:
    """The same clip under ever smaller caps of GPU memory."""
    logging.basicConfig(level=logging.WARNING, format="    %(message)s")
    total = torch.cuda.get_device_properties(0).total_memory
    for cap in CAPS_GIB:
        _release()
        torch.cuda.set_per_process_memory_fraction(cap * GIB / total)
        print(f"cap {cap} GiB", flush=True)
        engine = LatentSyncEngine.random(LatentSyncSettings(windows_per_batch=0))
        frames, seconds = _run_job(engine, 4 * WINDOW_FRAMES)
        peak = torch.cuda.max_memory_allocated() / GIB
        print(f"  {frames} frames, {frames / seconds:.2f} frames/s, {engine.workload}, peak {peak:.2f} GiB", flush=True)
        del engine
    torch.cuda.set_per_process_memory_fraction(1.0)
    _release()


def jobs() -> None:
    """Memory after each of many jobs in one process."""
    engine = LatentSyncEngine.random(LatentSyncSettings(steps=2))
    allocated, resident = [], []
    for _ in range(JOBS):
        _run_job(engine, 2 * WINDOW_FRAMES)
        allocated.append(torch.cuda.memory_allocated() / 2**20)
        resident.append(_resident_mib())
    print(f"GPU memory after each of {JOBS} jobs: {min(allocated):.1f} .. {max(allocated):.1f} MiB")
    print(f"resident after jobs 2, {JOBS // 2} and {JOBS}: ", end="")
    print(", ".join(f"{resident[job - 1]:.0f} MiB" for job in (2, JOBS // 2, JOBS)), flush=True)


def _run_job(engine: LatentSyncEngine, frames: int) -> tuple[int, float]:
    """Generate a clip of its own; frames made and seconds."""
    with bound_clip(engine, frames, LATENTSYNC.alignment) as (clip, session):
        began = time.perf_counter()
        made = sum(1 for _ in generate_faces(clip.source(), session, 0, frames, engine.windows_per_batch))
        return made, time.perf_counter() - began


def _resident_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def _release() -> None:
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    parts = {"speed": speed, "segments": segments, "precision": precision, "ladder": ladder, "jobs": jobs}
    for name in sys.argv[1:] or parts:
        parts[name]()
        _release()
