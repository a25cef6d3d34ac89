"""What the LatentSync engine does on this GPU with random full-size weights: precision, ladder, flat memory.

Usage: python benchmarks/gpu.py [precision] [ladder] [jobs]   (all without arguments)
"""

import gc
import logging
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from flows.cli.bench_clip import FPS, BenchClip, random_voice
from latentsync.engines.diffusion.codec import keep_mask
from latentsync.engines.diffusion.engine import LatentSyncEngine
from latentsync.engines.diffusion.spec import LatentSyncSettings
from latentsync.engines.protocol import WINDOW_FRAMES
from latentsync.segments.faces import generate_faces

GIB = 2**30
CAPS_GIB = (20, 16, 12, 8)
JOBS = 20


def precision() -> None:
    """bf16 against fp32 on the same weights and window."""
    exact = LatentSyncEngine.random(LatentSyncSettings(dtype="float32"))
    quick = LatentSyncEngine.random(LatentSyncSettings(dtype="bfloat16", fused=False))
    quick.models.unet.load_state_dict(exact.models.unet.state_dict())
    torch.nn.Module.load_state_dict(quick.models.codec._vae, exact.models.codec._vae.state_dict())
    generator = torch.Generator("cuda").manual_seed(5)
    shape = (1, WINDOW_FRAMES, exact.resolution_px, exact.resolution_px, 3)
    faces = torch.randint(0, 256, shape, dtype=torch.uint8, device="cuda", generator=generator)
    tokens = torch.randn(WINDOW_FRAMES, 50, 384, device="cuda", generator=generator)
    latents = [engine.denoise(tokens, *engine.encode(faces)) for engine in (exact, quick)]
    cosine = torch.nn.functional.cosine_similarity(*(part.flatten().double() for part in latents), dim=0)
    pictures = [
        engine.decode(part, faces)[0].float().cpu().numpy()
        for engine, part in zip((exact, quick), latents, strict=True)
    ]
    inside = keep_mask(exact.resolution_px) < 0.5
    error = np.mean((pictures[0][:, inside] - pictures[1][:, inside]) ** 2)
    print(f"bf16 against fp32, 20 steps: latents cosine {cosine.item():.6f}")
    print(f"  face inside the mask: PSNR {10 * np.log10(255**2 / error):.1f} dB", flush=True)


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
    with tempfile.TemporaryDirectory() as folder:
        clip = BenchClip(Path(folder), frames, engine.resolution_px)
        voice = Path(folder) / "voice.npy"
        random_voice(engine, frames, voice)
        session = engine.session(voice, FPS, clip.context())
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
    parts = {"precision": precision, "ladder": ladder, "jobs": jobs}
    for name in sys.argv[1:] or parts:
        parts[name]()
        _release()
