"""Spatial and temporal transformers of the fused UNet.

Their state lives in the last fifth of a buffer (M, 5C); the feed-forward fills the rest, so that its second
layer, the residual and ``proj_out``, linear all three, are one product with the whole buffer.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from latentsync.engines.diffusion.fused.layers import Map, Norm, Ops, RowNorm


class Voice(NamedTuple):
    """What a pass hears."""

    kv: Tensor | None  # (images, tokens, sum of 2C over the layers); None: silence
    doubled: bool  # the images are passed through twice: in silence, then with the voice


class _Frame:
    """What both kinds of transformer do around their attentions."""

    def __init__(self, ops: Ops, module: Any, proj_in: Tensor, proj_out: Tensor):
        self._ops, self._norm = ops, Norm(ops, module.norm)
        self._proj_in, self._proj_out = proj_in, proj_out
        self._pending = module.proj_in.bias.float()

    def _close(self, norm: nn.LayerNorm, feed_forward: Any, bias: Tensor) -> None:
        """Pack what follows the attentions; ``out_bias`` stays to be added to the result."""
        up, _, down = feed_forward.net
        self._ff_norm = RowNorm(self._ops, norm, self._pending)
        self._up = [torch.stack(part.chunk(2), 1).flatten(0, 1) for part in (up.proj.weight, up.proj.bias)]  # in pairs
        outer = self._proj_out.float()
        self._out = torch.cat([outer @ down.weight.float(), outer], 1).to(self._proj_out.dtype)
        self.out_bias = outer @ (self._pending + down.bias.float()) + bias.float()

    def _enter(self, outer: Map, pending: Tensor | None) -> Tensor:
        """The buffer, with the projected state in it."""
        rows = self._norm([outer], 1, False, pending).flatten(0, 2)
        channels = rows.shape[1]
        buffer = rows.new_empty(len(rows), 5 * channels)
        torch.mm(rows, self._proj_in.t(), out=buffer[:, 4 * channels :])
        return buffer

    def _leave(self, buffer: Tensor, outer: Tensor) -> Tensor:
        """Feed-forward and projection, added to ``outer`` in place."""
        channels = outer.shape[-1]
        hidden = self._ff_norm(buffer[:, 4 * channels :], outer[0, ..., 0].numel())
        self._ops.geglu(hidden, *self._up, buffer[:, : 4 * channels])
        outer.view(-1, channels).addmm_(buffer, self._out.t())
        return outer


class SelfAttention:
    """q, k, v in one product; what comes out is added to the state in place."""

    def __init__(self, ops: Ops, norm: nn.LayerNorm, module: Any, pending: Tensor, table: Tensor | None = None):
        self._norm = RowNorm(ops, norm, pending, table)
        self._qkv = torch.cat([module.to_q.weight, module.to_k.weight, module.to_v.weight])
        self._out, self._ops, self._heads = module.to_out[0].weight, ops, module.heads

    def spatial(self, x: Tensor, positions: int) -> None:
        """Attention within each image of the rows ``x``."""
        qkv = (self._norm(x, positions) @ self._qkv.t()).unflatten(0, (-1, positions))
        x.addmm_(self._ops.self_attention(qkv, self._heads).reshape(len(x), -1), self._out.t())

    def temporal(self, x: Tensor, positions: int, frames: int) -> None:
        """Attention of each position over its window."""
        qkv = (self._norm(x, positions, frames) @ self._qkv.t()).unflatten(0, (-1, positions))
        x.addmm_(self._ops.temporal_attention(qkv, frames, self._heads).flatten(0, 1), self._out.t())


class CrossAttention:
    """Attention to the voice; keys and values were made for all layers at once, ``place`` is this one's."""

    def __init__(self, ops: Ops, norm: nn.LayerNorm, module: Any, pending: Tensor, place: int):
        self._norm, self._ops, self._heads = RowNorm(ops, norm, pending), ops, module.heads
        self._q, self._out = module.to_q.weight, module.to_out[0].weight
        self._place = slice(place, place + 2 * len(self._q))

    def __call__(self, x: Tensor, kv: Tensor, positions: int) -> None:
        """Add what the rows ``x`` hear to them."""
        q = (self._norm(x, positions) @ self._q.t()).unflatten(0, (-1, positions))
        heard = self._ops.cross_attention(q, kv[..., self._place], self._heads)
        x.addmm_(heard.reshape(len(x), -1), self._out.t())


class Spatial(_Frame):
    """Self-attention of a frame, cross-attention to the voice, feed-forward."""

    def __init__(self, ops: Ops, module: Any, place: int):
        super().__init__(ops, module, module.proj_in.weight.flatten(1), module.proj_out.weight.flatten(1))
        block = module.transformer_blocks[0]
        self._self = SelfAttention(ops, block.norm1, block.attn1, self._pending)
        self._pending = self._pending + block.attn1.to_out[0].bias.float()
        self._cross = CrossAttention(ops, block.norm2, block.attn2, self._pending, place)
        self._pending = self._pending + block.attn2.to_out[0].bias.float()  # all that silence has to say
        self._close(block.norm3, block.ff, module.proj_out.bias)

    def __call__(self, outer: Map, voice: Voice) -> Tensor:
        """The new map, without ``out_bias``; images enter once and leave twice where the halves part."""
        buffer, x = self._enter(outer, None), outer.x
        positions, channels = x.shape[1] * x.shape[2], x.shape[3]
        self._self.spatial(buffer[:, 4 * channels :], positions)
        if voice.doubled and voice.kv is not None and len(x) == len(voice.kv):
            x, state = torch.cat([x, x]), buffer[:, 4 * channels :]
            buffer = buffer.new_empty(2 * len(buffer), buffer.shape[1])
            buffer.view(2, -1, buffer.shape[1])[:, :, 4 * channels :] = state
        if voice.kv is not None:
            heard = buffer[-len(voice.kv) * positions :, 4 * channels :]
            self._cross(heard, voice.kv, positions)
        return self._leave(buffer, x)


class Temporal(_Frame):
    """Self-attentions of each position over the frames of its window, feed-forward."""

    def __init__(self, ops: Ops, module: Any):
        super().__init__(ops, module, module.proj_in.weight, module.proj_out.weight)
        block = module.transformer_blocks[0]
        self._attentions = []
        for norm, attention in zip(block.norms, block.attention_blocks, strict=True):
            table = attention.pos_encoder.pe[0]
            self._attentions.append(SelfAttention(ops, norm, attention, self._pending, table))
            self._pending = self._pending + attention.to_out[0].bias.float()
        self._close(block.ff_norm, block.ff, module.proj_out.bias)

    def __call__(self, outer: Map, pending: Tensor | None, frames: int) -> Tensor:
        """The new map, without ``pending`` (of ``outer``) and ``out_bias``."""
        buffer = self._enter(outer, pending)
        positions, channels = outer.x.shape[1] * outer.x.shape[2], outer.x.shape[3]
        for attention in self._attentions:
            attention.temporal(buffer[:, 4 * channels :], positions, frames)
        return self._leave(buffer, outer.x)
