"""Layers of the fused path: maps (images, h, w, c) contiguous, weights packed once.

A bias is added where a pass over the map happens anyway, often by the next norm: until then it is *pending*.
``Ops`` is ``kernels`` on a GPU and ``twins`` elsewhere; both have the same functions.
"""

from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from latentsync.engines.diffusion.fused.twins import GroupNorm

Ops = ModuleType
IMAGES_TOGETHER = 16  # in an upsampling: for more, cuDNN chooses a kernel that takes twice as long (H100)


class Map(NamedTuple):
    """A map and what its next norm needs to know of it."""

    x: Tensor  # (images, h, w, c)
    moments: Tensor

    @classmethod
    def of(cls, ops: Ops, x: Tensor, add: Tensor | None = None, bias: Tensor | None = None) -> "Map":
        """``x`` with ``add`` and ``bias`` (c,) added to it in place."""
        found = ops.moments(x.flatten(1, 2), None if add is None else add.reshape(len(x), -1, x.shape[-1]), bias)
        return cls(x, found)

    def doubled(self) -> "Map":
        """The same images twice."""
        return Map(*(torch.cat([part, part]) for part in self))


class Norm:
    """GroupNorm, with SiLU if asked, over the statistics of ``frames`` images."""

    def __init__(self, ops: Ops, module: Any):
        self._ops = ops
        self._norm = GroupNorm(module.weight.float(), module.bias.float(), module.num_groups, module.eps)

    def __call__(self, maps: list[Map], frames: int, silu: bool, pending: Tensor | None = None) -> Tensor:
        """Normalise maps side by side, ``pending`` (c,) added to the first."""
        x = maps[0].x
        parts, positions = [each.moments for each in maps], x.shape[1] * x.shape[2]
        scales = self._ops.affine(parts, pending, self._norm, positions, frames)
        out = self._ops.normalise([each.x.flatten(1, 2) for each in maps], scales, frames, silu)
        return out.unflatten(1, x.shape[1:3])


def conv(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 1) -> Tensor:
    """A convolution without bias; its memory is channels-last on both sides."""
    out = F.conv2d(x.permute(0, 3, 1, 2), weight, None, stride, padding)
    return out.permute(0, 2, 3, 1).contiguous()


def padded(weight: Tensor, outputs: int, inputs: int) -> Tensor:
    """A convolution's weight with channels of zeros, which tensor cores need in multiples of eight."""
    more = (0, 0, 0, 0, 0, inputs - weight.shape[1], 0, outputs - weight.shape[0])
    return F.pad(weight, more).contiguous(memory_format=torch.channels_last)


class Resnet:
    """Two convolutions, each after a norm, and a shortcut."""

    def __init__(self, ops: Ops, module: Any):
        self._ops = ops
        self._norm1, self._norm2 = Norm(ops, module.norm1), Norm(ops, module.norm2)
        self._conv1, self._conv2 = module.conv1.weight, module.conv2.weight
        self.bias1, self._bias2 = module.conv1.bias.float(), module.conv2.bias.float()
        self._shortcut: Tensor | None = None
        if isinstance(module.conv_shortcut, nn.Conv2d):
            shortcut: Any = module.conv_shortcut
            self._shortcut = shortcut.weight.flatten(1)
            self._bias2 = self._bias2 + shortcut.bias.float()

    def __call__(self, maps: list[Map], pending: Tensor, frames: int) -> Map:
        """Maps side by side -> one; ``pending`` is the first convolution's bias and the time's."""
        hidden = Map.of(self._ops, conv(self._norm1(maps, frames, silu=True), self._conv1))
        out = conv(self._norm2([hidden], frames, True, pending), self._conv2)
        return Map.of(self._ops, out, self._short([each.x for each in maps]), self._bias2)

    def _short(self, maps: list[Tensor]) -> Tensor:
        if self._shortcut is None:
            return maps[0]
        weights = self._shortcut.split([each.shape[-1] for each in maps], dim=1)
        out = maps[0].flatten(0, 2) @ weights[0].t()
        for each, weight in zip(maps[1:], weights[1:], strict=True):
            out.addmm_(each.flatten(0, 2), weight.t())
        return out


class Upsample:
    """Nearest x2 and a 3x3 convolution, as four 2x2 convolutions of the small map, one per parity."""

    def __init__(self, ops: Ops, module: Any):
        self._ops, self._bias = ops, module.bias.float()
        weight = module.weight.float()
        for axis in (-2, -1):  # an even output sees the row before and its own twice, an odd one its own and the next
            first, middle, last = weight.unbind(axis)
            pairs = [torch.stack([first, middle + last], axis), torch.stack([first + middle, last], axis)]
            weight = torch.stack(pairs)  # parities come first: column, row
        weight = weight.transpose(0, 1).flatten(0, 2).to(module.weight.dtype)
        self._weight = weight.contiguous(memory_format=torch.channels_last)

    def __call__(self, x: Tensor) -> Map:
        """(images, h, w, c) -> (images, 2h, 2w, c)."""
        parts = [self._ops.interleave(conv(part, self._weight), self._bias) for part in x.split(IMAGES_TOGETHER)]
        return Map.of(self._ops, torch.cat(parts) if len(parts) > 1 else parts[0])


class RowNorm:
    """LayerNorm of rows that still lack ``pending``; ``table`` (frames, c) is added to the result."""

    def __init__(self, ops: Ops, module: nn.LayerNorm, pending: Tensor, table: Tensor | None = None):
        self._ops, self._pending, self._weight = ops, pending, module.weight.float()
        bias = module.bias.float()[None]
        self._bias = bias if table is None else bias + table.float()

    def __call__(self, x: Tensor, positions: int, frames: int = 1) -> Tensor:
        """(M, C) -> (M, C), contiguous."""
        return self._ops.layer_norm(x, self._pending, self._weight, self._bias[:frames], positions)
