"""Whisper's audio encoder (Radford et al. 2022), read for its inner layers."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from latentsync.engines.diffusion.tensors import load_strictly, open_tensors
from latentsync.errors import WeightsError

# Names in a transformers folder -> OpenAI's, which are used here.
_RENAMED = [
    (r"^(?:model\.)?encoder\.", "encoder."),
    (r"embed_positions\.weight$", "positional_embedding"),
    (r"\.layers\.", ".blocks."),
    (r"self_attn_layer_norm", "attn_ln"),
    (r"self_attn\.([qkv])_proj", lambda m: "attn." + {"q": "query", "k": "key", "v": "value"}[m[1]]),
    (r"self_attn\.out_proj", "attn.out"),
    (r"\.fc1\.", ".mlp.0."),
    (r"\.fc2\.", ".mlp.2."),
    (r"final_layer_norm", "mlp_ln"),
    (r"encoder\.layer_norm\.", "encoder.ln_post."),
]


@dataclass(frozen=True)
class WhisperConfig:
    """Sizes of an encoder; the defaults are those of whisper tiny."""

    mel_bins: int = 80
    channels: int = 384
    heads: int = 6
    layers: int = 4
    positions: int = 1500  # rows of a window; two mel frames each


class WhisperAttention(nn.Module):
    """Self-attention; the key has no bias."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # b t (heads d) -> b heads t d
            for project in (self.query, self.key, self.value)
        )
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class WhisperBlock(nn.Module):
    """Self-attention and a perceptron, each after its norm and with a residual."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.attn = WhisperAttention(channels, heads)
        self.attn_ln = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))
        self.mlp_ln = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.attn(self.attn_ln(x))
        return x + self.mlp(self.mlp_ln(x))


class WhisperEncoder(nn.Module):
    """Log-mel of one window -> what enters the first block and what leaves every block."""

    positional_embedding: Tensor

    def __init__(self, config: WhisperConfig):
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(config.mel_bins, config.channels, 3, padding=1)
        self.conv2 = nn.Conv1d(config.channels, config.channels, 3, stride=2, padding=1)
        self.register_buffer("positional_embedding", torch.empty(config.positions, config.channels))
        self.blocks = nn.ModuleList(WhisperBlock(config.channels, config.heads) for _ in range(config.layers))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fill the table of positions: sines, then cosines, of rates from 1 to 1/10000 per row."""
        positions, channels = self.positional_embedding.shape
        rates = torch.logspace(0, -4, channels // 2, device=self.positional_embedding.device)
        angles = torch.arange(positions, device=rates.device)[:, None] * rates
        self.positional_embedding.copy_(torch.cat([angles.sin(), angles.cos()], dim=1))

    def forward(self, mel: Tensor) -> Tensor:
        """(B, mel_bins, 2 * positions) -> (B, positions, layers + 1, channels), no final norm."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)  # b c t -> b t c
        taps = [x + self.positional_embedding]
        for block in self.blocks:
            taps.append(block(taps[-1]))
        return torch.stack(taps, dim=2)


def load_whisper(weights: Path, device: str | torch.device = "cpu") -> WhisperEncoder:
    """Load the encoder in float32 from OpenAI's .pt file or a transformers folder.

    Raises ``WeightsError`` when it is missing, incomplete or of another shape.
    """
    tensors, heads = _open_folder(weights) if weights.is_dir() else _open_openai(weights)
    own = {
        name.removeprefix("encoder."): tensor
        for name, tensor in tensors.items()
        if name.startswith("encoder.") and not name.startswith("encoder.ln_post.")
    }
    with torch.device("meta"):
        encoder = WhisperEncoder(_config_of(own, heads, weights))
    return load_strictly(encoder, own, weights, device)


def _open_openai(path: Path) -> tuple[Mapping[str, Tensor], int]:
    content = open_tensors(path)
    if "dims" not in content or "model_state_dict" not in content:
        raise WeightsError(f"{path} is no whisper file: it holds {sorted(content)[:5]}, not dims and weights")
    return content["model_state_dict"], content["dims"]["n_audio_head"]  # type: ignore[return-value]


def _open_folder(folder: Path) -> tuple[Mapping[str, Tensor], int]:
    tensors = {_renamed(name): tensor for name, tensor in open_tensors(folder / "model.safetensors").items()}
    config = folder / "config.json"
    if not config.is_file():
        raise WeightsError(f"{config} is missing: fetch the whole whisper folder")
    return tensors, json.loads(config.read_text())["encoder_attention_heads"]


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _config_of(tensors: Mapping[str, Tensor], heads: int, source: Path) -> WhisperConfig:
    try:
        channels, mel_bins, _ = tensors["conv1.weight"].shape
        positions = len(tensors["positional_embedding"])
    except KeyError as missing:
        raise WeightsError(f"{source} holds no whisper encoder: {missing} is missing") from missing
    layers = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    return WhisperConfig(mel_bins, channels, heads, layers, positions)
