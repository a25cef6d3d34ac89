"""Whisper's files, OpenAI's and Hugging Face's, loaded strictly; and its encoder by transformers."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from latentsync.engines.diffusion.mel import MEL_BINS
from latentsync.engines.diffusion.models.whisper import WhisperConfig, WhisperEncoder
from latentsync.engines.diffusion.tensors import load_strictly, open_tensors
from latentsync.errors import WeightsError

if TYPE_CHECKING:
    from transformers.models.whisper import modeling_whisper

# OpenAI's names of tensors -> transformers', which are ours.
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


class TransformersWhisper(nn.Module):
    """transformers' encoder, called as ours: the readable path, where the fused networks cannot generate."""

    def __init__(self, encoder: "modeling_whisper.WhisperEncoder", own: WhisperEncoder):
        super().__init__()
        self._encoder = encoder
        self.config = own.config

    @classmethod
    def of(cls, own: WhisperEncoder) -> "TransformersWhisper":
        """The same weights in transformers' class."""
        from transformers import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperEncoder as Encoder  # takes seconds

        with torch.device("meta"):
            encoder = Encoder(WhisperConfig(**vars(own.config)))
        encoder.load_state_dict(own.state_dict(), assign=True)
        return cls(encoder.eval(), own)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, mel bins, 2 T) -> (B, T, blocks + 1, channels): what enters the first block and what leaves every one.

        The library's own last hidden state has gone through the final norm, which LatentSync was trained
        without: the last layer is what enters that norm.
        """
        last: list[Tensor] = []
        with self._encoder.layer_norm.register_forward_pre_hook(lambda _, inputs: last.append(inputs[0])):
            states = self._encoder(mel, output_hidden_states=True).hidden_states
        return torch.stack([*states[:-1], *last], dim=2)


def load_whisper(weights: Path, device: str | torch.device = "cpu") -> WhisperEncoder:
    """Load the encoder in float32 from OpenAI's .pt file or a Hugging Face folder; the decoder is ignored.

    Raises ``WeightsError`` when it is missing, incomplete, of another shape or no whisper.
    """
    path, tensors, sizes = _open_folder(weights) if weights.is_dir() else _open_openai(weights)
    config = _config(path, sizes)
    with torch.device("meta"):
        encoder = WhisperEncoder(config)
    own = {name.removeprefix("encoder."): part for name, part in tensors.items() if name.startswith("encoder.")}
    return load_strictly(encoder, own, path, device)


def _config(path: Path, sizes: Mapping[str, Any]) -> WhisperConfig:
    """Sizes that a whisper for LatentSync can have."""
    config = WhisperConfig(**{field.name: sizes[field.name] for field in fields(WhisperConfig) if field.name in sizes})
    for name, size in vars(config).items():
        if not isinstance(size, int) or size < 1:
            raise WeightsError(f"{path} is no whisper: its {name} is {size!r}, not a whole number above 0")
    if config.d_model % config.encoder_attention_heads:
        heads = config.encoder_attention_heads
        raise WeightsError(f"{path} is no whisper: {config.d_model} channels are not divisible by {heads} heads")
    if config.num_mel_bins != MEL_BINS:
        found = config.num_mel_bins
        raise WeightsError(f"{path} hears {found} mel bins, LatentSync was trained on {MEL_BINS}: use whisper tiny")
    return config


def _open_openai(path: Path) -> tuple[Path, Mapping[str, Tensor], Mapping[str, Any]]:
    """File, tensors under our names, and the sizes of its configuration."""
    content = open_tensors(path)
    if "dims" not in content or "model_state_dict" not in content:
        raise WeightsError(f"{path} is no whisper file: it holds {sorted(content)[:5]}, not dims and weights")
    dims: Mapping[str, Any] = content["dims"]  # type: ignore[assignment]
    tensors: Mapping[str, Tensor] = content["model_state_dict"]  # type: ignore[assignment]
    try:
        sizes = {
            "num_mel_bins": dims["n_mels"],
            "max_source_positions": dims["n_audio_ctx"],
            "d_model": dims["n_audio_state"],
            "encoder_attention_heads": dims["n_audio_head"],
            "encoder_layers": dims["n_audio_layer"],
            "encoder_ffn_dim": 4 * dims["n_audio_state"],
        }
    except KeyError as missing:
        raise WeightsError(f"{path} is no whisper file: its dims lack {missing}") from missing
    return path, {_renamed(name): tensor for name, tensor in tensors.items()}, sizes


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
