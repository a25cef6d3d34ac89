"""The voice encoder: Whisper's (Radford et al. 2022) by transformers, read for its inner layers."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from latentsync.engines.diffusion.mel import MEL_BINS
from latentsync.engines.diffusion.tensors import load_strictly, open_tensors
from latentsync.errors import WeightsError

if TYPE_CHECKING:  # transformers takes seconds to import, and generating needs none of it
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

# OpenAI's names of tensors -> transformers'.
_RENAMED: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"positional_embedding$", "embed_positions.weight"),
    (r"\bblocks\.", "layers."),
    (r"\battn_ln\.", "self_attn_layer_norm."),
    (r"\battn\.(query|key|value)\.", lambda match: f"self_attn.{match[1][0]}_proj."),
    (r"\battn\.out\.", "self_attn.out_proj."),
    (r"\bmlp_ln\.", "final_layer_norm."),
    (r"\bmlp\.0\.", "fc1."),
    (r"\bmlp\.2\.", "fc2."),
    (r"\bln_post\.", "layer_norm."),
]


def load_whisper(weights: Path, device: str | torch.device = "cpu") -> "WhisperEncoder":
    """Load the encoder in float32 from OpenAI's .pt file or a Hugging Face folder; the decoder is ignored.

    Raises ``WeightsError`` when it is missing, incomplete, of another shape or no whisper.
    """
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    path, tensors, fields = _open_folder(weights) if weights.is_dir() else _open_openai(weights)
    try:
        with torch.device("meta"):
            encoder = WhisperEncoder(WhisperConfig(**fields))
    except Exception as error:  # transformers' validators have no common base
        raise WeightsError(f"{path}: transformers cannot build its whisper ({' '.join(str(error).split())})") from error
    if (mel_bins := encoder.config.num_mel_bins) != MEL_BINS:
        raise WeightsError(f"{path} hears {mel_bins} mel bins, LatentSync was trained on {MEL_BINS}: use whisper tiny")
    own = {name.removeprefix("encoder."): part for name, part in tensors.items() if name.startswith("encoder.")}
    return load_strictly(encoder, own, path, device)


@torch.no_grad()
def inner_layers(encoder: "WhisperEncoder", mel: Tensor) -> Tensor:
    """What enters the first block and what leaves every block: (B, T, blocks + 1, channels) float32.

    ``mel`` (B, mel bins, 2 T) fills the encoder's window. The library's own last hidden state has gone
    through the final norm, which LatentSync was trained without: the last layer is what enters that norm.
    """
    last: list[Tensor] = []
    with encoder.layer_norm.register_forward_pre_hook(lambda _, inputs: last.append(inputs[0])):
        states = encoder(mel, output_hidden_states=True).hidden_states
    return torch.stack([*states[:-1], *last], dim=2)


def _open_openai(path: Path) -> tuple[Path, Mapping[str, Tensor], Mapping[str, Any]]:
    """File, tensors under transformers' names, and fields of its configuration."""
    content = open_tensors(path)
    if "dims" not in content or "model_state_dict" not in content:
        raise WeightsError(f"{path} is no whisper file: it holds {sorted(content)[:5]}, not dims and weights")
    dims: Mapping[str, Any] = content["dims"]  # type: ignore[assignment]
    tensors: Mapping[str, Tensor] = content["model_state_dict"]  # type: ignore[assignment]
    try:
        fields = {
            "num_mel_bins": dims["n_mels"],
            "max_source_positions": dims["n_audio_ctx"],
            "d_model": dims["n_audio_state"],
            "encoder_attention_heads": dims["n_audio_head"],
            "encoder_layers": dims["n_audio_layer"],
            "encoder_ffn_dim": 4 * dims["n_audio_state"],
        }
    except KeyError as missing:
        raise WeightsError(f"{path} is no whisper file: its dims lack {missing}") from missing
    return path, {_renamed(name): tensor for name, tensor in tensors.items()}, fields


def _open_folder(folder: Path) -> tuple[Path, Mapping[str, Tensor], Mapping[str, Any]]:
    """The same of a Hugging Face folder, of a whole model or of the encoder with its task."""
    path, config = folder / "model.safetensors", folder / "config.json"
    tensors = {name.removeprefix("model."): tensor for name, tensor in open_tensors(path).items()}
    if not config.is_file():
        raise WeightsError(f"{config} is missing: fetch the whole whisper folder")
    try:
        return path, tensors, dict(json.loads(config.read_text()))
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{config} holds no configuration ({error}): fetch the whole whisper folder") from error


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name
