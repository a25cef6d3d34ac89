"""Where a window's time goes in the LatentSync engine, and how much of the card it uses."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from flows.cli.bench_clip import median_ms
from latentsync.engines.diffusion.engine import LatentSyncEngine
from latentsync.engines.diffusion.models.unet import UNet
from latentsync.engines.diffusion.sampling import Guidance
from latentsync.engines.protocol import WINDOW_FRAMES

GEMM_SIZE = 8192  # of the square product that shows the card's ceiling
TOKENS = 50


def measure_parts(engine: LatentSyncEngine) -> dict[str, float]:
    """Milliseconds per window of VAE and UNet, the UNet's TFLOP/s, and their share of the card's own ceiling."""
    batch, size = engine.windows_per_batch, engine.resolution_px
    faces = torch.randint(0, 256, (batch, WINDOW_FRAMES, size, size, 3), dtype=torch.uint8, device=engine.device)
    audio_channels = engine.models.config.cross_attention_dim
    tokens = torch.randn(batch * WINDOW_FRAMES, TOKENS, audio_channels, device=engine.device)
    masked, reference = engine.encode(faces)
    latents = engine.denoise(tokens, masked, reference)
    parts = {
        "VAE encode, ms": lambda: engine.encode(faces),
        "UNet, ms": lambda: engine.denoise(tokens, masked, reference),
        "VAE decode, ms": lambda: engine.decode(latents, faces),
    }
    found = {name: _median_ms(work, engine.device) / batch for name, work in parts.items()}
    found["UNet, TFLOP/s"] = 1000 * unet_tflop(engine) / found["UNet, ms"]
    if engine.device.type == "cuda":
        found["of this card's GEMM, %"] = 100 * found["UNet, TFLOP/s"] / gemm_tflops(engine.device, engine.dtype)
        found["GPU memory, GiB"] = torch.cuda.max_memory_reserved(engine.device) / 2**30
    return found


class Busy(NamedTuple):
    """One kernel or copy on the GPU."""

    start_ns: int
    end_ns: int
    name: str


def gpu_busy(work: Callable[[], object]) -> list[Busy]:
    """All that the GPU does for ``work``, in order of the start."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        work()
        torch.cuda.synchronize()
    events = profile.profiler.kineto_results.events()  # type: ignore[union-attr]
    return sorted(
        Busy(event.start_ns(), event.end_ns(), event.name()) for event in events if "CUDA" in str(event.device_type())
    )


def steady(spans: Sequence[Busy]) -> list[Busy]:
    """From the moment the first window has arrived to the arrival of the last."""
    arrived = [span.end_ns for span in spans if "DtoH" in span.name]
    return [span for span in spans if arrived[0] <= span.start_ns < arrived[-1]]


def busy_percent(spans: Sequence[Busy]) -> float:
    """Share of the time between the start of the first and the end of the last in which any of them runs."""
    busy, reached = 0, spans[0].start_ns
    for start, end, _ in spans:
        busy += max(end - max(start, reached), 0)
        reached = max(reached, end)
    return 100 * busy / (reached - spans[0].start_ns)


def gemm_tflops(device: torch.device, dtype: torch.dtype) -> float:
    """What a large square matrix product of the card's own library reaches, in TFLOP/s."""
    a, b = (torch.randn(GEMM_SIZE, GEMM_SIZE, device=device, dtype=dtype) for _ in range(2))
    return 2 * GEMM_SIZE**3 / _median_ms(lambda: a @ b, device) / 1e9


def unet_tflop(engine: LatentSyncEngine) -> float:
    """Operations of the UNet on one window, by the readable network, as torch counts them."""
    settings, size = engine.settings, engine.resolution_px // 8
    guidance = Guidance(settings.guidance_scale, settings.guidance_start, settings.guidance_end)
    with torch.device("meta"), torch.no_grad():
        unet = UNet(engine.models.config)
        sample = torch.zeros(1, unet.config.in_channels, WINDOW_FRAMES, size, size)
        tokens = torch.zeros(WINDOW_FRAMES, TOKENS, unet.config.cross_attention_dim)
        step = torch.tensor(1)
        with FlopCounterMode(display=False) as full:
            _, feature = unet(sample, step, tokens, branch=settings.deepcache_branch)
        with FlopCounterMode(display=False) as cached:
            unet(sample, step, tokens, branch=settings.deepcache_branch, feature=feature)
    total = 0
    for index in range(settings.steps):
        reused = settings.deepcache and index % settings.deepcache
        passes = 2 if guidance.weighs(index, settings.steps) else 1
        total += passes * (cached if reused else full).get_total_flops()
    return total / 1e12


def _median_ms(work: Callable[[], object], device: torch.device) -> float:
    return median_ms(work, 5, torch.cuda.synchronize if device.type == "cuda" else lambda: None)
