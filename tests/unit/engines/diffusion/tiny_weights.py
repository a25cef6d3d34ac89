"""A folder of small random weights in the published forms."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

from latentsync.engines.diffusion.random_weights import TINY_UNET, random_unet, random_vae, random_whisper
from tests.unit.engines.diffusion.whisper_files import write_openai

RESOLUTION_PX = 64


def write_tiny_weights(folder: Path) -> Path:
    """``latentsync_unet.pt``, ``whisper/tiny.pt``, ``vae/`` and ``weights.json``, some 3 MB in all."""
    write_tiny_unet_and_whisper(folder)
    (folder / "vae").mkdir()
    vae = random_vae("tiny")
    save_file(_plain(vae), folder / "vae" / "diffusion_pytorch_model.safetensors")
    (folder / "vae" / "config.json").write_text(json.dumps(dict(vae.config)))
    return folder


def write_tiny_unet_and_whisper(folder: Path) -> Path:
    """The same without the VAE, whose library takes seconds to import."""
    (folder / "whisper").mkdir(parents=True)
    unet, whisper = random_unet("tiny"), random_whisper("tiny")
    torch.save({"global_step": 7, "state_dict": unet.state_dict()}, folder / "latentsync_unet.pt")
    write_openai(folder / "whisper" / "tiny.pt", whisper)
    manifest = {"unet": published_form(), "resolution_px": RESOLUTION_PX}
    (folder / "weights.json").write_text(json.dumps(manifest))
    return folder


def published_form() -> dict[str, object]:
    """The tiny UNet's configuration under the published names."""
    config = asdict(TINY_UNET)
    config["motion_module_kwargs"] = {
        "num_attention_heads": config.pop("motion_heads"),
        "attention_block_types": ["Temporal_Self"] * config.pop("motion_attentions"),
        "temporal_position_encoding_max_len": config.pop("max_frames"),
    }
    return config


def _plain(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
