"""The folder of LatentSync weights: load it, check it, convert it.

    DIR/latentsync_unet.pt           as published, or latentsync_unet.safetensors made by ``convert``
    DIR/whisper/tiny.pt              OpenAI's file, or DIR/whisper/ a transformers folder
    DIR/vae/                         diffusers folder of stabilityai/sd-vae-ft-mse
    DIR/weights.json                 {"resolution_px": 512}; "unet": {...} for other than published sizes
    DIR/.converted/                  what ``converted`` keeps

LatentSync 1.5 (256 px) and 1.6 (512 px) have the same tensors, so the resolution that the weights were
made for is written beside them (by ``download.fetch``, which knows the repository, or by its owner).
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentsync.engines.diffusion.manifest import MANIFEST, read_manifest
from latentsync.engines.diffusion.models.unet import UNet, UNetConfig
from latentsync.engines.diffusion.models.vae import VaeWeights
from latentsync.engines.diffusion.tensors import (
    load_strictly,
    mismatches,
    open_metadata,
    open_tensors,
    write_safetensors,
)
from latentsync.engines.diffusion.whisper import load_whisper
from latentsync.errors import WeightsError

UNET_FILES = ("latentsync_unet.safetensors", "latentsync_unet.pt")  # the first that is there counts
VAE_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
RESOLUTIONS_PX = {256: "LatentSync 1.5", 512: "LatentSync 1.6"}

# Names of the VAE's attention in files from before diffusers 0.12.
_OLD_VAE_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def load_unet(
    weights: Path,
    config: Mapping[str, Any] | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> UNet:
    """Load a UNet from the published .pt form or from .safetensors.

    ``config`` holds the published fields, as a dictionary or a JSON file; {} means LatentSync 1.5 and 1.6.
    The file is mapped and copied tensor by tensor: nothing is in memory twice.
    Raises ``WeightsError`` with the missing, extra and misshapen tensors.
    """
    unet = _unet_on_meta(config)
    return load_strictly(unet, _unet_tensors(weights), weights, device, dtype)


def load_vae(folder: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> VaeWeights:
    """Load a diffusers ``AutoencoderKL`` folder; raises ``WeightsError`` as ``load_unet`` does."""
    return load_strictly(_vae_on_meta(folder), _vae_tensors(folder), vae_file(folder), device, dtype)


def unet_file(folder: Path) -> Path:
    """The UNet's file; raises ``WeightsError`` when there is none."""
    return _first_file(folder, UNET_FILES)


def vae_file(folder: Path) -> Path:
    """The VAE's file in its own folder; raises ``WeightsError`` when there is none."""
    return _first_file(folder, VAE_FILES)


def whisper_weights(folder: Path) -> Path:
    """OpenAI's file, or the transformers folder; raises ``WeightsError`` when there is neither."""
    whisper = folder / "whisper"
    return whisper if (whisper / "model.safetensors").is_file() else _first_file(whisper, ("tiny.pt",))


def unet_config(folder: Path) -> Mapping[str, Any]:
    """Fields of the UNet's configuration that differ from the published one."""
    return read_manifest(folder).get("unet", {})


def resolution_of(folder: Path) -> int:
    """Pixels that the weights were made for.

    Raises ``WeightsError`` when that is written nowhere, or twice and differently.
    """
    manifest = read_manifest(folder).get("resolution_px")
    stored = open_metadata(unet_file(folder)).get("resolution_px")
    told = {int(resolution) for resolution in (manifest, stored) if resolution is not None}
    if not told:
        raise WeightsError(
            f"{folder} does not say which resolution its weights were made for, and the tensors are the same: "
            f'write {{"resolution_px": 512}} into {folder / MANIFEST} for LatentSync 1.6, 256 for 1.5'
        )
    if len(told) > 1:
        raise WeightsError(
            f"{folder / MANIFEST} says {manifest} px, but {unet_file(folder).name} was made for {stored} px: "
            "correct the one that is wrong"
        )
    return told.pop()


def require_resolution(folder: Path, resolution_px: int) -> None:
    """Raise ``WeightsError`` unless the weights were made for ``resolution_px``."""
    made_for = resolution_of(folder)
    if made_for != resolution_px:
        raise WeightsError(
            f"the weights in {folder} were made for {made_for} px "
            f"({RESOLUTIONS_PX.get(made_for, 'another model')}), not for {resolution_px} px: other sizes break "
            f"the mouth; choose the engine of {made_for} px or the weights of {resolution_px} px"
        )


def check(folder: Path) -> list[str]:
    """Everything that is wrong with a folder of weights; reads names and shapes, not the numbers."""
    return [*dict.fromkeys(_findings(folder))]


def convert(
    folder: Path, out: Path, dtype: torch.dtype = torch.float16, more_metadata: Mapping[str, str] | None = None
) -> str:
    """Write the UNet of ``folder`` as .safetensors in ``dtype``, tensor by tensor; returns its sha256.

    The resolution and ``more_metadata`` go into the file's metadata. Raises ``WeightsError`` when the weights are not
    whole, ``InputError`` for a path that cannot be written to, ``TransientError`` when the disk is full.
    """
    source = unet_file(folder)
    tensors = _unet_tensors(source)
    expected = _unet_on_meta(unet_config(folder)).state_dict()
    if findings := mismatches(expected, tensors):
        raise WeightsError(f"{source} does not fit this model: {'; '.join(findings)}")
    metadata = {"format": "pt", "resolution_px": str(resolution_of(folder)), **(more_metadata or {})}
    ordered = {name: tensors[name] for name in expected}
    return write_safetensors(out, ordered, source, dtype, metadata)


def _findings(folder: Path) -> Iterable[str]:
    checks = [
        lambda: resolution_of(folder),
        lambda: _compare(_unet_on_meta(unet_config(folder)), _unet_tensors(unet_file(folder)), folder),
        lambda: _compare(_vae_on_meta(folder / "vae"), _vae_tensors(folder / "vae"), folder / "vae"),
        lambda: _require_width(whisper_weights(folder), _unet_on_meta(unet_config(folder))),
    ]
    for check_one in checks:
        try:
            check_one()
        except WeightsError as error:
            yield str(error)


def _require_width(whisper: Path, unet: UNet) -> None:
    """Whisper comes in sizes; the UNet hears one."""
    channels, heard = load_whisper(whisper).config.d_model, unet.config.cross_attention_dim
    if channels != heard:
        raise WeightsError(f"{whisper} has features of {channels} channels, the UNet hears {heard}: use whisper tiny")


def _compare(module: torch.nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    if findings := mismatches(module.state_dict(), tensors):
        raise WeightsError(f"{source} does not fit this model: {'; '.join(findings)}")


def _unet_on_meta(config: Mapping[str, Any] | Path) -> UNet:
    fields = json.loads(config.read_text()) if isinstance(config, Path) else config
    try:
        with torch.device("meta"):
            return UNet(UNetConfig.from_dict(fields))
    except (TypeError, ValueError) as error:
        raise WeightsError(f"the UNet's configuration is not supported: {error}") from error


def _unet_tensors(weights: Path) -> Mapping[str, Tensor]:
    content = open_tensors(weights)
    return content.get("state_dict", content)  # type: ignore[return-value]


def _vae_on_meta(folder: Path) -> VaeWeights:
    config = folder / "config.json"
    if not config.is_file():
        raise WeightsError(f"{config} is missing: fetch the whole VAE folder (stabilityai/sd-vae-ft-mse)")
    try:
        with torch.device("meta"):
            return VaeWeights({"scaling_factor": 0.18215, **json.loads(config.read_text())})
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{config} is no configuration of an AutoencoderKL ({error}): fetch it again") from error


def _vae_tensors(folder: Path) -> Mapping[str, Tensor]:
    return {_current_vae_name(name): tensor for name, tensor in open_tensors(vae_file(folder)).items()}


def _current_vae_name(name: str) -> str:
    for old, new in _OLD_VAE_NAMES.items():
        name = name.replace(old, new)
    return name


def _first_file(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(
        f"{folder} holds no {' or '.join(names)}: lipsync weights fetch {folder} downloads the published files"
    )
