"""Attention and feed-forward layers, and the spatial transformer of one frame.

Comments give shapes as einops patterns: b windows, f frames, c channels, n = (h w) positions of a frame,
d channels of a head. Feature maps are ``(b f) c h w`` in channels_last memory, so ``(b f) n c`` is a
view of them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class Attention(nn.Module):
    """Multi-head attention; q, k and v have no bias, the output has."""

    def __init__(self, channels: int, heads: int, context_channels: int | None = None):
        super().__init__()
        context_channels = context_channels or channels
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_channels, channels, bias=False)
        self.to_v = nn.Linear(context_channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, N, C) attends to ``context`` (B, T, C'), or to itself -> (B, N, C)."""
        context = x if context is None else context
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # b n (heads d) -> b heads n d
            for part in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        out = F.scaled_dot_product_attention(q, k, v)
        return self.to_out[0](out.transpose(1, 2).flatten(2))  # b heads n d -> b n (heads d)


class GEGLU(nn.Module):
    """Linear to twice the width; one half gates the other through an exact GELU."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.proj = nn.Linear(channels, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., hidden)."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """GEGLU to four times the width and back."""

    def __init__(self, channels: int):
        super().__init__()
        # the Identity stands where training had a dropout: it keeps the published index of the last layer
        self.net = nn.ModuleList([GEGLU(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        for layer in self.net:
            x = layer(x)
        return x


class SpatialBlock(nn.Module):
    """Self-attention within a frame, cross-attention to the frame's audio tokens, feed-forward."""

    def __init__(self, channels: int, heads: int, audio_channels: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(channels, heads, audio_channels)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, audio_tokens: Tensor) -> Tensor:
        """(B*F, N, C), (B*F, T, C') -> (B*F, N, C)."""
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), audio_tokens)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """A transformer block over the positions of each frame, with a residual around it."""

    def __init__(self, channels: int, heads: int, audio_channels: int, groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, kernel_size=1)
        self.transformer_blocks = nn.ModuleList([SpatialBlock(channels, heads, audio_channels)])
        self.proj_out = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor, audio_tokens: Tensor) -> Tensor:
        """(B*F, C, H, W), (B*F, T, C') -> (B*F, C, H, W)."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (b f) c h w -> (b f) n c
        tokens = _pointwise(self.proj_in, tokens)
        tokens = self.transformer_blocks[0](tokens, audio_tokens)
        tokens = _pointwise(self.proj_out, tokens)
        return x + tokens.transpose(1, 2).unflatten(2, x.shape[2:])  # (b f) n c -> (b f) c h w


def _pointwise(conv: nn.Conv2d, tokens: Tensor) -> Tensor:
    """A 1x1 convolution as the matrix product that it is on channels-last data."""
    return F.linear(tokens, torch.flatten(conv.weight, 1), conv.bias)
