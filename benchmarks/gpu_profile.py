"""Where a window's time goes on this GPU with random full-size weights: kinds of kernels, and the gaps between them.

Usage: python benchmarks/gpu_profile.py [exact] [balanced] [fast]   (exact without arguments)
"""

import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import torch

from flows.cli.bench_clip import bound_clip, measure_path
from flows.cli.bench_diffusion import Busy, gpu_busy, steady
from latentsync.engines.diffusion.engine import LatentSyncEngine
from latentsync.engines.diffusion.spec import LATENTSYNC, LatentSyncSettings
from latentsync.engines.protocol import WINDOW_FRAMES

WINDOWS = 6
KINDS = {  # the first that fits a kernel's name
    "GEGLU": "^_product|^_gate",
    "temporal attention": "^_temporal",
    "cross-attention": "^_cross",
    "self-attention": "^_within|flash|fmha|sdpa|softmax",
    "group norm": "^_moments|^_affine|^_normalise",
    "layer norm": "^_layer_norm",
    "upsampling": "^_interleave",
    "convolution": "conv|fprop|implicit",
    "GEMM": "gemm|nvjet|cutlass|splitK",
    "copies to and from the GPU": "HtoD|DtoH",
    "memset": "Memset",
    "other": "",
}
GAPS_US = (1, 2, 4, 10, 100, 1000, float("inf"))


def profile(quality: str) -> None:
    """Print the table of one quality."""
    settings = LatentSyncSettings.model_validate({"quality": quality})
    engine = LatentSyncEngine.random(settings)
    with bound_clip(engine, WINDOW_FRAMES * WINDOWS, LATENTSYNC.alignment) as (clip, session):

        def path() -> float:
            return measure_path(clip, session, engine, WINDOW_FRAMES).window_ms

        path()
        apart, beside = path(), [0.0]
        spans = gpu_busy(lambda: beside.append(path()))
    between = steady(spans)
    by_its_clock = (between[-1].end_ns - between[0].end_ns) / 1e6 / (WINDOWS - 1)
    print(f"{quality}: {apart:.1f} ms a window; profiled {beside[-1]:.1f}, by the GPU's clock {by_its_clock:.1f}")
    _show(between, WINDOWS - 1)
    print("of them the UNet:", f"{_seconds(lambda: _denoise(engine)) * 1000:.1f} ms")
    _show(gpu_busy(lambda: _denoise(engine)), 1)
    began = time.perf_counter()
    _denoise(engine)
    print(f"handed to the GPU within {1000 * (time.perf_counter() - began):.1f} ms", flush=True)
    torch.cuda.synchronize()


def _denoise(engine: LatentSyncEngine) -> None:
    size = engine.resolution_px // 8
    latents = torch.randn(1, 4, WINDOW_FRAMES, size, size, device=engine.device)
    tokens = torch.randn(WINDOW_FRAMES, 50, engine.models.config.cross_attention_dim, device=engine.device)
    engine.denoise(tokens, latents, latents)


def _seconds(work: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def _show(spans: Sequence[Busy], windows: int) -> None:
    took: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for span in spans:
        kind = next(kind for kind, names in KINDS.items() if re.search(names, span.name, re.IGNORECASE))
        took[kind] += (span.end_ns - span.start_ns) / 1e6 / windows
        counts[kind] += 1
    for kind, ms in sorted(took.items(), key=lambda item: -item[1]):
        print(f"  {kind:28} {ms:8.2f} ms a window, {counts[kind] / windows:6.0f} kernels")
    gaps = _gaps(spans)
    whole = (max(span.end_ns for span in spans) - spans[0].start_ns) / 1e6
    idle = sum(gap for gap, _ in gaps) / 1e6
    print(f"  busy {100 * (1 - idle / whole):.2f} %: gaps of {idle / windows:.2f} ms a window, by length:")
    low = 0.0
    for high in GAPS_US:
        these = [gap / 1e3 for gap, _ in gaps if low <= gap / 1e3 < high]
        print(f"    {low:g} to {high:g} us: {len(these) / windows:.0f}, {sum(these) / 1e3 / windows:.2f} ms a window")
        low = high
    places: dict[str, float] = defaultdict(float)
    for gap, place in gaps:
        places[place] += gap / 1e6 / windows
    for place, ms in sorted(places.items(), key=lambda item: -item[1])[:12]:
        print(f"    {ms:6.3f} ms {place}")


def _gaps(spans: Sequence[Busy]) -> list[tuple[int, str]]:
    """Nanoseconds in which nothing runs, and between what."""
    found, reached, last = [], spans[0].end_ns, spans[0]
    for span in spans[1:]:
        if span.start_ns > reached:
            found.append((span.start_ns - reached, f"{last.name[:48]} -> {span.name[:48]}"))
        if span.end_ns > reached:
            reached, last = span.end_ns, span
    return found


if __name__ == "__main__":
    for given in sys.argv[1:] or ["exact"]:
        profile(given)
