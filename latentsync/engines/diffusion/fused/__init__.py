"""UNet and VAE packed for a GPU: Triton kernels, fewer passes over memory, one CUDA graph per kind of pass."""

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from latentsync.engines.diffusion.models.unet import UNet
from latentsync.engines.diffusion.models.vae import VaeWeights
from latentsync.engines.diffusion.sampling import Predictor
from latentsync.engines.protocol import WINDOW_FRAMES
from latentsync.storage.locations import user_cache

if TYPE_CHECKING:
    from latentsync.engines.diffusion.fused.passes import PassesByShape
    from latentsync.engines.diffusion.fused.vae import FusedVae

OLDEST = (8, 0)  # compute capability that the kernels were written for


def refusal(device: torch.device, dtype: torch.dtype) -> str:
    """Why the fused path cannot run there; empty if it can."""
    if device.type != "cuda":
        return f"{device.type} is no CUDA GPU"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"its kernels compute in 16-bit numbers, not in {dtype}"
    if torch.cuda.get_device_capability(device) < OLDEST:
        return f"{torch.cuda.get_device_name(device)} is older than SM {OLDEST[0]}.{OLDEST[1]}"
    if not find_spec("triton"):
        return "Triton is not installed (it comes with torch for CUDA)"
    compilers = filter(None, (os.environ.get("CC"), "gcc", "clang"))
    return "" if any(map(shutil.which, compilers)) else "Triton needs a C compiler (apt-get install gcc)"


def kernel_cache() -> Path:
    """The folder where built kernels are kept; may be copied to other machines with the same GPU."""
    return Path(os.environ.get("TRITON_CACHE_DIR") or user_cache() / "lipsync-kernels")


def pack(unet: UNet, vae: VaeWeights) -> tuple["PassesByShape", "FusedVae", Callable[..., Predictor]]:
    """What takes the place of both networks, and what binds the UNet to a batch."""
    os.environ.setdefault("TRITON_CACHE_DIR", str(kernel_cache()))  # before Triton looks
    from latentsync.engines.diffusion.fused import kernels
    from latentsync.engines.diffusion.fused.passes import FusedGuidance, PassesByShape
    from latentsync.engines.diffusion.fused.unet import FusedUNet
    from latentsync.engines.diffusion.fused.vae import FusedVae

    with torch.no_grad():
        passes = PassesByShape(FusedUNet(unet, kernels), WINDOW_FRAMES)
        return passes, FusedVae(vae, kernels), FusedGuidance
