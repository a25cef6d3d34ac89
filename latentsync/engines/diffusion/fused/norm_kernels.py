"""Triton kernels of the norms and of what is written beside them; their twins say what each computes."""

# pyright: reportCallIssue=false, reportReturnType=false, reportArgumentType=false
# (Triton types neither launches nor its arithmetic on plain numbers.)

import torch
import triton
import triton.language as tl
from torch import Tensor

from latentsync.engines.diffusion.fused.twins import TILE_ROWS, GroupNorm

ROWS = 16  # that a program of `normalise` takes
FEW, AT_ONCE = 32, 8192  # tiles, or else sums, that a program of `affine` looks at together


@triton.jit(do_not_specialize=["positions", "adding", "biased"])
def _moments(x, add, bias, found, positions, channels, adding, biased, TILE: tl.constexpr, BLOCK: tl.constexpr):
    program = tl.program_id(0)
    blocks, tiles = channels // BLOCK, tl.cdiv(positions, TILE)
    c = program % blocks * BLOCK + tl.arange(0, BLOCK)
    tile, image = program // blocks % tiles, program // (blocks * tiles)
    row = tile * TILE + tl.arange(0, TILE)
    inside = (row < positions)[:, None]
    at = (image.to(tl.int64) * positions + row[:, None]) * channels + c[None, :]
    value = tl.load(x + at, mask=inside, other=0).to(tl.float32)
    if adding != 0:
        value += tl.load(add + at, mask=inside, other=0).to(tl.float32)
    if biased != 0:
        value += tl.load(bias + c)[None, :].to(tl.float32)
    stored = value.to(x.dtype.element_ty)
    tl.store(x + at, stored, mask=inside & (adding + biased != 0))
    value = tl.where(inside, stored.to(tl.float32), 0)
    count = tl.minimum(positions - tile * TILE, TILE)
    total = tl.sum(value, 0)
    centred = tl.where(inside, value - (total / count)[None, :], 0)
    place = found + (image * tiles + tile) * 2 * channels + c
    tl.store(place, total)
    tl.store(place + channels, tl.sum(centred * centred, 0))


@triton.jit
def _load_parts(first, second, at, c, first_channels, second_channels, valid):
    value = tl.load(first + at * first_channels + c, mask=valid & (c < first_channels), other=0)
    if second_channels > 0:
        there = valid & (c >= first_channels)
        value += tl.load(second + at * second_channels + c - first_channels, mask=there, other=0)
    return value


@triton.jit(do_not_specialize=["positions", "tiles", "image_tiles", "group", "biased"])
def _affine(first, second, first_bias, weight, bias, out, first_channels, second_channels, positions, tiles,
            image_tiles, group, biased, eps, TILE: tl.constexpr, CHUNK: tl.constexpr, GROUP: tl.constexpr):  # fmt: skip
    domain, channels = tl.program_id(0), first_channels + second_channels
    member = tl.arange(0, GROUP)
    c, mine = tl.program_id(1) * group + member, member < group
    pending = tl.load(first_bias + c, mask=mine & (c < first_channels) & (biased != 0), other=0)
    total = tl.zeros([GROUP], tl.float32)
    for begin in range(0, tiles, CHUNK):
        tile = begin + tl.arange(0, CHUNK)
        at, valid = ((domain * tiles + tile) * 2)[:, None], (tile < tiles)[:, None] & mine[None, :]
        total += tl.sum(_load_parts(first, second, at, c[None, :], first_channels, second_channels, valid), 0)
    rows = (tiles // image_tiles * positions).to(tl.float32)
    numbers = rows * group
    mean = (tl.sum(total, 0) + rows * tl.sum(pending, 0)) / numbers
    squares = tl.zeros([GROUP], tl.float32)
    for begin in range(0, tiles, CHUNK):
        tile = begin + tl.arange(0, CHUNK)
        at, valid = ((domain * tiles + tile) * 2)[:, None], (tile < tiles)[:, None] & mine[None, :]
        sums = _load_parts(first, second, at, c[None, :], first_channels, second_channels, valid)
        within = _load_parts(first, second, at + 1, c[None, :], first_channels, second_channels, valid)
        count = tl.minimum(positions - tile % image_tiles * TILE, TILE).to(tl.float32)[:, None]
        off = sums / count + pending[None, :] - mean
        squares += tl.sum(tl.where(valid, within + count * off * off, 0), 0)
    scale = tl.rsqrt(tl.sum(squares, 0) / numbers + eps) * tl.load(weight + c, mask=mine, other=0)
    shift = tl.load(bias + c, mask=mine, other=0) + (pending - mean) * scale
    tl.store(out + domain * 2 * channels + c, scale, mask=mine)
    tl.store(out + (domain * 2 + 1) * channels + c, shift, mask=mine)


@triton.jit(do_not_specialize=["positions", "frames", "silu"])
def _normalise(first, second, scales, out, first_channels, second_channels, positions, frames, silu,
               ROWS: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    program, channels = tl.program_id(0), first_channels + second_channels
    blocks, tiles = channels // BLOCK, tl.cdiv(positions, ROWS)
    start = program % blocks * BLOCK
    c = start + tl.arange(0, BLOCK)
    tile, image = program // blocks % tiles, program // (blocks * tiles)
    row = tile * ROWS + tl.arange(0, ROWS)
    inside = (row < positions)[:, None]
    at = image.to(tl.int64) * positions + row[:, None]
    if start < first_channels:
        value = tl.load(first + at * first_channels + c[None, :], mask=inside, other=0)
    else:
        value = tl.load(second + at * second_channels + (c - first_channels)[None, :], mask=inside, other=0)
    place = scales + image // frames * 2 * channels + c
    result = value.to(tl.float32) * tl.load(place)[None, :] + tl.load(place + channels)[None, :]
    result = tl.where(silu != 0, result * tl.sigmoid(result), result)
    tl.store(out + at * channels + c[None, :], result.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["rows", "positions", "frames"])
def _layer_norm(x, pending, weight, bias, out, rows, stride, positions, frames, CHANNELS: tl.constexpr,
                WIDTH: tl.constexpr, ROWS: tl.constexpr):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    c = tl.arange(0, WIDTH)
    mine = c < CHANNELS
    inside = (row < rows)[:, None] & mine[None, :]
    value = tl.load(x + row.to(tl.int64)[:, None] * stride + c[None, :], mask=inside, other=0).to(tl.float32)
    value += tl.load(pending + c, mask=mine, other=0)[None, :]
    mean = tl.sum(value, 1) / CHANNELS
    centred = tl.where(mine[None, :], value - mean[:, None], 0)
    rstd = tl.rsqrt(tl.sum(centred * centred, 1) / CHANNELS + 1e-5)
    frame = row // positions % frames
    add = tl.load(bias + frame[:, None] * CHANNELS + c[None, :], mask=inside, other=0)
    result = centred * rstd[:, None] * tl.load(weight + c, mask=mine, other=0)[None, :] + add
    tl.store(out + row.to(tl.int64)[:, None] * CHANNELS + c[None, :], result.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["high", "wide", "places"])
def _interleave(quarters, bias, out, high, wide, channels, places, PLACES: tl.constexpr, BLOCK: tl.constexpr):
    program, blocks = tl.program_id(0), channels // BLOCK
    c = program % blocks * BLOCK + tl.arange(0, BLOCK)
    place = program // blocks * PLACES + tl.arange(0, PLACES)
    column, row, image = place % (2 * wide), place // (2 * wide) % (2 * high), place // (4 * wide * high)
    across, down = column % 2, row % 2
    source = (image * (high + 1) + row // 2 + down) * (wide + 1) + column // 2 + across
    at = (source.to(tl.int64) * 4 + down * 2 + across)[:, None] * channels + c[None, :]
    inside = (place < places)[:, None]
    value = tl.load(quarters + at, mask=inside, other=0).to(tl.float32) + tl.load(bias + c)[None, :]
    tl.store(out + place.to(tl.int64)[:, None] * channels + c[None, :], value.to(out.dtype.element_ty), mask=inside)


def moments(x: Tensor, add: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    images, positions, channels = x.shape
    tiles, block = triton.cdiv(positions, TILE_ROWS), _block(channels)
    found = torch.empty(images, tiles, 2, channels, dtype=torch.float32, device=x.device)
    _moments[(images * tiles * (channels // block),)](
        x, x if add is None else add, found if bias is None else bias, found, positions, channels,
        int(add is not None), int(bias is not None), TILE=TILE_ROWS, BLOCK=block, num_warps=2,
    )  # fmt: skip
    return found


def affine(parts: list[Tensor], pending: Tensor | None, norm: GroupNorm, positions: int, frames: int) -> Tensor:
    first, second = parts[0], parts[-1]
    images, image_tiles, _, first_channels = first.shape
    second_channels = second.shape[-1] if len(parts) > 1 else 0
    channels = first_channels + second_channels
    width, tiles = max(16, triton.next_power_of_2(channels // norm.groups)), image_tiles * frames
    chunk = FEW if tiles <= FEW else AT_ONCE // width  # two sizes: every other one would be built, too
    out = torch.empty(images // frames, 2, channels, dtype=torch.float32, device=first.device)
    _affine[(images // frames, norm.groups)](
        first, second, first if pending is None else pending, norm.weight, norm.bias, out, first_channels,
        second_channels, positions, tiles, image_tiles, channels // norm.groups, int(pending is not None), norm.eps,
        TILE=TILE_ROWS, CHUNK=chunk, GROUP=width, num_warps=8,
    )  # fmt: skip
    return out


def normalise(maps: list[Tensor], scales: Tensor, frames: int, silu: bool) -> Tensor:
    first, second = maps[0], maps[-1]
    images, positions, first_channels = first.shape
    second_channels = second.shape[-1] if len(maps) > 1 else 0
    channels, block = first_channels + second_channels, _block(first_channels, second_channels)
    out = first.new_empty(images, positions, channels)
    _normalise[(images * triton.cdiv(positions, ROWS) * (channels // block),)](
        first, second, scales, out, first_channels, second_channels, positions, frames, int(silu),
        ROWS=ROWS, BLOCK=block, num_warps=1,
    )  # fmt: skip
    return out


def layer_norm(x: Tensor, pending: Tensor, weight: Tensor, bias: Tensor, positions: int) -> Tensor:
    rows, channels = x.shape
    out = x.new_empty(rows, channels)
    width = triton.next_power_of_2(channels)
    together = max(2, 2048 // width)
    _layer_norm[(triton.cdiv(rows, together),)](
        x, pending, weight, bias, out, rows, x.stride(0), positions, len(bias),
        CHANNELS=channels, WIDTH=width, ROWS=together, num_warps=1,
    )  # fmt: skip
    return out


def interleave(quarters: Tensor, bias: Tensor) -> Tensor:
    images, high, wide, channels = quarters.shape[0], quarters.shape[1] - 1, quarters.shape[2] - 1, len(bias)
    out = quarters.new_empty(images, 2 * high, 2 * wide, channels)
    places, block = out[..., 0].numel(), _block(channels)
    _interleave[(triton.cdiv(places, TILE_ROWS) * (channels // block),)](
        quarters, bias, out, high, wide, channels, places, PLACES=TILE_ROWS, BLOCK=block, num_warps=8
    )
    return out


def _block(*channels: int) -> int:
    """Channels of one program: a power of two that divides them all."""
    block = 64
    while any(number % block for number in channels):
        block //= 2
    return block
