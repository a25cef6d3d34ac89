"""Whisper's encoder (Radford et al. 2022) up to its final norm, with the tensors of transformers' ``WhisperEncoder``.

Its own lines instead of that class, whose import takes seconds and 200 MiB.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class WhisperConfig:
    """Sizes under transformers' names; the defaults are those of whisper tiny."""

    num_mel_bins: int = 80
    max_source_positions: int = 1500  # rows of a window; two mel frames each
    d_model: int = 384
    encoder_attention_heads: int = 6
    encoder_layers: int = 4
    encoder_ffn_dim: int = 1536


class WhisperAttention(nn.Module):
    """Self-attention; keys have no bias."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(channels, channels, bias=False)
        self.v_proj = nn.Linear(channels, channels)
        self.q_proj = nn.Linear(channels, channels)
        self.out_proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        scaled = self.q_proj(x) * (x.shape[-1] // self.heads) ** -0.5  # before the product, as OpenAI does
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2).contiguous()  # b t (heads d) -> b heads t d
            for part in (scaled, self.k_proj(x), self.v_proj(x))
        )
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, scale=1.0).transpose(1, 2).flatten(2))


class WhisperBlock(nn.Module):
    """Self-attention and a perceptron, each after its norm and with a residual."""

    def __init__(self, config: WhisperConfig):
        super().__init__()
        self.self_attn = WhisperAttention(config.d_model, config.encoder_attention_heads)
        self.self_attn_layer_norm = nn.LayerNorm(config.d_model)
        self.fc1 = nn.Linear(config.d_model, config.encoder_ffn_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_dim, config.d_model)
        self.final_layer_norm = nn.LayerNorm(config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class WhisperEncoder(nn.Module):
    """Log-mel of one window -> what enters the first block and what leaves every block."""

    def __init__(self, config: WhisperConfig):
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(config.num_mel_bins, config.d_model, 3, padding=1)
        self.conv2 = nn.Conv1d(config.d_model, config.d_model, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(config.max_source_positions, config.d_model)
        self.layers = nn.ModuleList(WhisperBlock(config) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(config.d_model)  # in every file; LatentSync was trained without it

    def forward(self, mel: Tensor) -> Tensor:
        """(B, mel bins, 2 T) -> (B, T, blocks + 1, channels); T fills the window."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)  # b c t -> b t c
        states = [x + self.embed_positions.weight]
        for block in self.layers:
            states.append(block(states[-1]))
        return torch.stack(states, dim=2)
