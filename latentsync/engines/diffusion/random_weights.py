"""Random weights, made directly on the device: for measurements and tests without published files."""

from typing import Any, Literal, TypeVar

import torch
from torch import nn

from latentsync.engines.diffusion.models.unet import UNet, UNetConfig
from latentsync.engines.diffusion.models.vae import VaeWeights
from latentsync.engines.diffusion.models.whisper import WhisperConfig, WhisperEncoder

Module = TypeVar("Module", bound=nn.Module)
Size = Literal["full", "tiny"]
Device = str | torch.device

TINY_UNET = UNetConfig(
    block_out_channels=(32, 32, 64, 64),
    layers_per_block=1,
    attention_head_dim=2,
    cross_attention_dim=32,
    norm_num_groups=8,
    motion_heads=2,
)
_VAE_WIDTHS = {"full": (128, 256, 512, 512), "tiny": (8, 8, 16, 16)}


def random_unet(size: Size, device: Device = "cpu", dtype: torch.dtype = torch.float32) -> UNet:
    """A UNet of the published size, or a tiny one."""
    with torch.device("meta"):
        unet = UNet(UNetConfig() if size == "full" else TINY_UNET)
    return _initialised(unet, device, dtype)


def random_vae(size: Size, device: Device = "cpu", dtype: torch.dtype = torch.float32) -> VaeWeights:
    """A VAE of the size of stabilityai/sd-vae-ft-mse, or a tiny one."""
    with torch.device("meta"):
        vae = VaeWeights(_vae_config(size))
    return _initialised(vae, device, dtype)


def _vae_config(size: Size) -> dict[str, Any]:
    """The fields of a diffusers ``config.json``."""
    widths = _VAE_WIDTHS[size]
    return {
        "_class_name": "AutoencoderKL",
        "block_out_channels": widths,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "layers_per_block": 2 if size == "full" else 1,
        "norm_num_groups": 32 if size == "full" else 8,
        "scaling_factor": 0.18215,
    }


def random_whisper(size: Size, device: Device = "cpu") -> WhisperEncoder:
    """A whisper encoder of the size of whisper tiny, or a smaller one; the same for the same size."""
    channels, heads = (384, 6) if size == "full" else (TINY_UNET.cross_attention_dim, 2)
    config = WhisperConfig(d_model=channels, encoder_attention_heads=heads, encoder_ffn_dim=4 * channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = WhisperEncoder(config)
    return encoder.eval().requires_grad_(False).to(device)


def _initialised(module: Module, device: Device, dtype: torch.dtype, seed: int = 0) -> Module:
    """Give ``module`` (built on meta) PyTorch's default random weights; the same for the same seed."""
    nn.Module.to(module, dtype).to_empty(device=device)  # diffusers' own `to` warns about nothing
    with torch.random.fork_rng(devices=[device] if torch.device(device).type == "cuda" else []), torch.no_grad():
        torch.manual_seed(seed)
        for part in module.modules():
            if callable(reset := getattr(part, "reset_parameters", None)):
                reset()
        for parameter in module.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return module.eval().requires_grad_(False)
