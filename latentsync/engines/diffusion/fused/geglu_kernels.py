"""Triton kernels of the feed-forward's gate; their twin ``geglu`` says what they compute."""

# pyright: reportCallIssue=false, reportReturnType=false, reportArgumentType=false
# (Triton types neither launches nor its arithmetic on plain numbers.)

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from triton.tools.tensor_descriptor import TensorDescriptor

TILE_M, TILE_N, TILE_K, TOGETHER = 128, 64, 64, 8
BLOCK = 1024  # numbers of a row that one program of `_gate` takes
HOPPER = 9  # the first that copies tiles by itself (TMA)


@triton.jit
def _gated(value, gate):
    """The gate's exact GELU times the value; erf as Abramowitz and Stegun 7.1.28, to 3e-7."""
    x = tl.abs(gate) * 0.7071067811865476
    power = 1 + x * (0.0705230784 + x * (0.0422820123 + x * (0.0092705272
            + x * (0.0001520143 + x * (0.0002765672 + x * 0.0000430638)))))  # fmt: skip
    power *= power
    power *= power
    power *= power
    half_tail = 0.5 / (power * power)
    return value * gate * tl.where(gate < 0, half_tail, 1 - half_tail)


@triton.jit(do_not_specialize=["rows"])
def _product(x, weight, bias, out, rows, hidden, stride, CHANNELS: tl.constexpr, TILE_M: tl.constexpr,
             TILE_N: tl.constexpr, TILE_K: tl.constexpr, TOGETHER: tl.constexpr):  # fmt: skip
    program, wide = tl.program_id(0), tl.cdiv(hidden, TILE_N)
    first = program // (TOGETHER * wide) * TOGETHER  # tiles of rows that go through the weights together
    beside, place = tl.minimum(tl.cdiv(rows, TILE_M) - first, TOGETHER), program % (TOGETHER * wide)
    m, n = (first + place % beside) * TILE_M, place // beside * TILE_N
    pairs = tl.zeros([TILE_M, 2 * TILE_N], tl.float32)
    for k in range(0, CHANNELS, TILE_K):
        pairs = tl.dot(x.load([m, k]), weight.load([2 * n, k]).T, pairs)
    pairs += tl.load(bias + 2 * n + tl.arange(0, 2 * TILE_N))[None, :]
    value, gate = tl.split(tl.reshape(pairs, (TILE_M, TILE_N, 2)))
    row, column = m + tl.arange(0, TILE_M), n + tl.arange(0, TILE_N)
    at = row.to(tl.int64)[:, None] * stride + column[None, :]
    tl.store(out + at, _gated(value, gate).to(out.dtype.element_ty), mask=(row < rows)[:, None])


@triton.jit
def _gate(x, out, hidden, stride, BLOCK: tl.constexpr):
    program, blocks = tl.program_id(0), tl.cdiv(hidden, BLOCK)
    start, row = program % blocks * BLOCK, (program // blocks).to(tl.int64)
    pair, c = 2 * start + tl.arange(0, 2 * BLOCK), start + tl.arange(0, BLOCK)
    pairs = tl.load(x + row * 2 * hidden + pair, mask=pair < 2 * hidden, other=0).to(tl.float32)
    value, gate = tl.split(tl.reshape(pairs, (BLOCK, 2)))
    tl.store(out + row * stride + c, _gated(value, gate).to(out.dtype.element_ty), mask=c < hidden)


def geglu(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    (_in_one if _copies_tiles(x.device) else _in_two)(x, weight, bias, out)


def _in_one(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    rows, channels, hidden = *x.shape, out.shape[1]
    _product[(triton.cdiv(rows, TILE_M) * (hidden // TILE_N),)](
        TensorDescriptor.from_tensor(x, [TILE_M, TILE_K]), TensorDescriptor.from_tensor(weight, [2 * TILE_N, TILE_K]),
        bias, out, rows, hidden, out.stride(0), CHANNELS=channels, TILE_M=TILE_M, TILE_N=TILE_N, TILE_K=TILE_K,
        TOGETHER=TOGETHER, num_warps=8, num_stages=3,
    )  # fmt: skip


def _in_two(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    product, hidden = F.linear(x, weight, bias), out.shape[1]
    blocks = triton.cdiv(hidden, BLOCK)
    _gate[(len(x) * blocks,)](product, out, hidden, out.stride(0), BLOCK=BLOCK, num_warps=4)


def _copies_tiles(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.get_device_capability(device)[0] >= HOPPER
