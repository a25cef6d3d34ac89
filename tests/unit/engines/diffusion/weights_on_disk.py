"""Folders of random weights in the published forms."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

from latentsync.engines.diffusion.random_weights import TINY_UNET, Size, random_unet, random_vae, random_whisper
from tests.unit.engines.diffusion.whisper_files import write_openai

RESOLUTION_PX = 64


def write_tiny_weights(folder: Path) -> Path:
    """``latentsync_unet.pt``, ``whisper/tiny.pt``, ``vae/`` and ``weights.json``, some 3 MB in all."""
    return _write(folder, "tiny", {"unet": published_form(), "resolution_px": RESOLUTION_PX})


def write_full_weights(folder: Path, device: str) -> Path:
    """The same of the published sizes, 5.5 GB, made on ``device``."""
    return _write(folder, "full", {"resolution_px": 512}, device)


def _write(folder: Path, size: Size, manifest: dict[str, object], device: str = "cpu") -> Path:
    (folder / "whisper").mkdir(parents=True)
    (folder / "vae").mkdir()
    unet, vae = random_unet(size, device), random_vae(size, device)
    torch.save({"global_step": 7, "state_dict": _plain(unet)}, folder / "latentsync_unet.pt")
    write_openai(folder / "whisper" / "tiny.pt", random_whisper(size))
    save_file(_plain(vae), folder / "vae" / "diffusion_pytorch_model.safetensors")
    (folder / "vae" / "config.json").write_text(json.dumps(dict(vae.config)))
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
    return {name: tensor.contiguous().cpu() for name, tensor in module.state_dict().items()}
