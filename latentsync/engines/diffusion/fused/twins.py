"""The kernels' arithmetic in plain torch: what the tests compare them with, and what runs on a CPU.

Maps are ``(images, positions, channels)``, contiguous. *Moments* (images, tiles, 2, channels) are, per tile
of ``TILE_ROWS`` positions, a channel's sum and its sum of squares about the tile's own mean, in float32:
they can be merged over any number of tiles without cancellation (Chan et al. 1979).
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

TILE_ROWS = 128


class GroupNorm(NamedTuple):
    """Its weight and bias are (channels,) float32."""

    weight: Tensor
    bias: Tensor
    groups: int
    eps: float


def moments(x: Tensor, add: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Moments of ``x + add + bias``, which is written into ``x`` if anything is added; ``bias`` is (channels,)."""
    if add is not None or bias is not None:
        x.copy_(x.float() + (0 if add is None else add.float()) + (0 if bias is None else bias))
    tiles = x.float().split(TILE_ROWS, dim=1)
    sums = torch.stack([tile.sum(1) for tile in tiles], 1)
    squares = torch.stack([(tile - tile.mean(1, keepdim=True)).square().sum(1) for tile in tiles], 1)
    return torch.stack([sums, squares], 2)


def affine(parts: list[Tensor], pending: Tensor | None, norm: GroupNorm, positions: int, frames: int) -> Tensor:
    """GroupNorm as a factor and an addend per channel, (images / frames, 2, channels) float32.

    Args:
        parts: moments of each of one or two maps side by side on the channels.
        pending: a bias (channels of the first,) that is still to be added to the first map.
        positions: of one image.
        frames: images that share their statistics.
    """
    joined = torch.cat(parts, -1).unflatten(0, (-1, frames)).flatten(1, 2)
    total, square = joined.unbind(2)
    bias = torch.zeros_like(norm.weight)
    if pending is not None:
        bias[: len(pending)] = pending
    tiles = total.shape[1] // frames
    rows = torch.full((tiles,), TILE_ROWS, dtype=torch.float32, device=total.device)
    rows[-1] = positions - TILE_ROWS * (tiles - 1)
    rows = rows.repeat(frames)[None, :, None]
    means = total / rows + bias
    grouped = means.unflatten(-1, (norm.groups, -1))
    mean = (grouped * rows[..., None]).sum((1, 3), keepdim=True) / (rows.sum() * grouped.shape[-1])
    spread = square.unflatten(-1, (norm.groups, -1)) + rows[..., None] * (grouped - mean).square()
    variance = spread.sum((1, 3), keepdim=True) / (rows.sum() * grouped.shape[-1])
    rstd = (variance + norm.eps).rsqrt()
    mean, rstd = (part.expand(-1, 1, -1, grouped.shape[-1]).flatten(1) for part in (mean, rstd))
    scale = rstd * norm.weight
    return torch.stack([scale, norm.bias + (bias - mean) * scale], 1)


def normalise(maps: list[Tensor], scales: Tensor, frames: int, silu: bool) -> Tensor:
    """Apply what ``affine`` found to maps side by side; one map with all their channels."""
    scale, shift = (part[:, None, None] for part in scales.unbind(1))
    joined = torch.cat(maps, -1)
    out = joined.float().unflatten(0, (-1, frames)) * scale + shift
    return (F.silu(out) if silu else out).flatten(0, 1).to(joined.dtype)


def layer_norm(x: Tensor, pending: Tensor, weight: Tensor, bias: Tensor, positions: int) -> Tensor:
    """LayerNorm of the rows (M, C) of ``x + pending``; image i gets row i modulo its length of ``bias`` (F, C)."""
    normal = F.layer_norm(x.float() + pending, weight.shape, weight, None, 1e-5)
    images = normal.unflatten(0, (-1, len(bias), positions)) + bias[:, None]
    return images.flatten(0, 2).to(x.dtype)


def geglu(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    """``value * gelu(gate)`` of the pairs in ``x @ weight.T + bias`` (M, 2 * hidden) into ``out`` (M, hidden)."""
    value, gate = F.linear(x, weight, bias).float().unflatten(-1, (-1, 2)).unbind(-1)
    out.copy_(value * F.gelu(gate))


def self_attention(qkv: Tensor, heads: int) -> Tensor:
    """Attention within each image, (images, positions, 3C) -> (images, positions, C)."""
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def temporal_attention(qkv: Tensor, frames: int, heads: int) -> Tensor:
    """Attention of each position over its window's frames, (images, positions, 3C) -> (images, positions, C)."""
    windows = qkv.unflatten(0, (-1, frames)).transpose(1, 2).flatten(0, 1)  # (b f) n c -> (b n) f c
    out = self_attention(windows, heads).unflatten(0, (-1, qkv.shape[1]))
    return out.transpose(1, 2).flatten(0, 1).contiguous()


def cross_attention(q: Tensor, kv: Tensor, heads: int) -> Tensor:
    """Attention of (images, positions, C) to its image's tokens ``kv`` (images, tokens, 2C)."""
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, *kv.chunk(2, dim=-1)))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def softmax(scores: Tensor) -> None:
    """Softmax over the last axis of contiguous ``scores``, in place."""
    scores.copy_(scores.float().softmax(-1))


def interleave(quarters: Tensor, bias: Tensor) -> Tensor:
    """(N, h + 1, w + 1, 4C), a map for each parity of row and column -> (N, 2h, 2w, C) plus ``bias`` (C,)."""
    images, high, wide, _ = quarters.shape
    parts = quarters.unflatten(-1, (2, 2, -1))
    out = quarters.new_empty(images, high - 1, 2, wide - 1, 2, parts.shape[-1])
    for row in range(2):
        for column in range(2):
            part = parts[:, row : row + high - 1, column : column + wide - 1, row, column]
            out[:, :, row, :, column] = (part.float() + bias).to(out.dtype)
    return out.flatten(3, 4).flatten(1, 2)
