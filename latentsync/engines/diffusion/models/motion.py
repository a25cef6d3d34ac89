"""The motion module: attention over the frames of a window, for each position on its own."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from latentsync.engines.diffusion.models.attention import FeedForward

GROUPS = 32  # of the module's GroupNorm, whatever the UNet's


class PositionTable(nn.Module):
    """Fixed sinusoids per frame (Vaswani et al. 2017, interleaved), stored with the weights."""

    pe: Tensor

    def __init__(self, channels: int, max_frames: int):
        super().__init__()
        self.register_buffer("pe", torch.empty(1, max_frames, channels))
        if not self.pe.is_meta:  # arithmetic there has torch import its compiler, which takes seconds
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fill the table."""
        _, frames, channels = self.pe.shape
        position = torch.arange(frames, device=self.pe.device, dtype=torch.float32)[:, None]
        even = torch.arange(0, channels, 2, device=self.pe.device)
        rate = torch.exp(even * (-math.log(10000.0) / channels))
        angles = position * rate
        self.pe.copy_(torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, N, C) -> the same plus the row of its frame."""
        return x + self.pe[:, : x.shape[1], None]


class TemporalAttention(nn.Module):
    """Self-attention of a position over its F frames; weights as in ``Attention``."""

    def __init__(self, channels: int, heads: int, max_frames: int):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.pos_encoder = PositionTable(channels, max_frames)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, N, C) -> (B, F, N, C)."""
        x = self.pos_encoder(x)
        # Positions count as heads: all strides stay regular, so nothing is copied, and the batch
        # dimension cannot outgrow the 65,535 blocks that CUDA allows it.
        batch, frames, positions, _ = x.shape
        q, k, v = (
            project(x).view(batch, frames, positions * self.heads, -1).transpose(1, 2)
            for project in (self.to_q, self.to_k, self.to_v)  # b f n (heads d) -> b (n heads) f d
        )
        out = F.scaled_dot_product_attention(q, k, v)
        return self.to_out[0](out.transpose(1, 2).reshape(x.shape))  # b (n heads) f d -> b f n (heads d)


class TemporalBlock(nn.Module):
    """Temporal self-attentions, then a feed-forward, each with its norm and residual."""

    def __init__(self, channels: int, heads: int, attentions: int, max_frames: int):
        super().__init__()
        self.attention_blocks = nn.ModuleList(TemporalAttention(channels, heads, max_frames) for _ in range(attentions))
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(attentions))
        self.ff = FeedForward(channels)
        self.ff_norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, N, C) -> (B, F, N, C)."""
        for norm, attention in zip(self.norms, self.attention_blocks, strict=True):
            x = x + attention(norm(x))
        return x + self.ff(self.ff_norm(x))


class TemporalTransformer(nn.Module):
    """GroupNorm per frame, projection, temporal block, projection, residual."""

    def __init__(self, channels: int, heads: int, attentions: int, max_frames: int):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(channels, heads, attentions, max_frames)])
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B*F, C, H, W) -> (B*F, C, H, W)."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        tokens = tokens.unflatten(0, (-1, frames))  # (b f) c h w -> b f n c
        tokens = self.proj_out(self.transformer_blocks[0](self.proj_in(tokens)))
        tokens = tokens.flatten(0, 1).transpose(1, 2)
        return x + tokens.unflatten(2, x.shape[2:])  # b f n c -> (b f) c h w


class MotionModule(nn.Module):
    """Holds the temporal transformer under its published name."""

    def __init__(self, channels: int, heads: int, attentions: int, max_frames: int):
        super().__init__()
        self.temporal_transformer = TemporalTransformer(channels, heads, attentions, max_frames)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B*F, C, H, W) -> (B*F, C, H, W)."""
        return self.temporal_transformer(x, frames)
