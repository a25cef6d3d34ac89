"""Triton kernels of the feed-forward's gate; their twin ``geglu`` says what they compute."""

# pyright: reportCallIssue=false, reportReturnType=false, reportArgumentType=false
# (Triton types neither launches nor its arithmetic on plain numbers.)

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from triton.tools.tensor_descriptor import TensorDescriptor

TILE_M, TILE_N, TILE_K, TOGETHER = 128, 128, 64, 8
SHARED_BYTES = 200 * 1024  # that a program of `_product` may take; GPUs for data centres have them, from SM 9.0
BLOCK = 1024  # numbers of a row that one program of `_gate` takes


@triton.jit
def _tanh(x):
    """One instruction, exact to half precision."""
    return tl.inline_asm_elementwise("tanh.approx.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1)


@triton.jit
def _gated(value, gate):
    """The gate's GELU times the value, to 3e-5: erf as tanh of a polynomial (clamped, for it turns at 11)."""
    square, half = tl.minimum(gate * gate, 36), 0.5 * value * gate
    return half + half * _tanh(gate * (0.797502553 + square * (0.0370104273 - square * 0.000352286167)))


@triton.jit(do_not_specialize=["rows"])
def _product(x, weight, bias, out, rows, hidden, CHANNELS: tl.constexpr, PROGRAMS: tl.constexpr, TILE_M: tl.constexpr,
             TILE_N: tl.constexpr, TILE_K: tl.constexpr, TOGETHER: tl.constexpr):  # fmt: skip
    high, wide = tl.cdiv(rows, TILE_M), tl.cdiv(hidden, TILE_N)
    for tile in tl.range(tl.program_id(0), high * wide, PROGRAMS, flatten=True):  # a tile is stored beside the next
        first = tile // (TOGETHER * wide) * TOGETHER  # tiles of rows that go through the weights together
        beside, place = tl.minimum(high - first, TOGETHER), tile % (TOGETHER * wide)
        m, n = (first + place % beside) * TILE_M, place // beside * TILE_N
        pairs = tl.zeros([TILE_M, 2 * TILE_N], tl.float32)
        for k in range(0, CHANNELS, TILE_K):
            pairs = tl.dot(x.load([m, k]), weight.load([2 * n, k]).T, pairs)
        pairs += tl.load(bias + 2 * n + tl.arange(0, 2 * TILE_N))[None, :]
        value, gate = tl.split(tl.reshape(pairs, (TILE_M, TILE_N, 2)))
        out.store([m, n], _gated(value, gate).to(out.dtype))


@triton.jit
def _gate(x, out, hidden, stride, BLOCK: tl.constexpr):
    program, blocks = tl.program_id(0), tl.cdiv(hidden, BLOCK)
    start, row = program % blocks * BLOCK, (program // blocks).to(tl.int64)
    pair, c = 2 * start + tl.arange(0, 2 * BLOCK), start + tl.arange(0, BLOCK)
    pairs = tl.load(x + row * 2 * hidden + pair, mask=pair < 2 * hidden, other=0).to(tl.float32)
    value, gate = tl.split(tl.reshape(pairs, (BLOCK, 2)))
    tl.store(out + row * stride + c, _gated(value, gate).to(out.dtype.element_ty), mask=c < hidden)


def geglu(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    (_in_one if _fits(x.device) else _in_two)(x, weight, bias, out)


def _in_one(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    rows, channels, hidden = *x.shape, out.shape[1]
    tiles = triton.cdiv(rows, TILE_M) * triton.cdiv(hidden, TILE_N)
    programs = min(tiles, _processors(x.device))
    _product[(programs,)](
        TensorDescriptor.from_tensor(x, [TILE_M, TILE_K]), TensorDescriptor.from_tensor(weight, [2 * TILE_N, TILE_K]),
        bias, TensorDescriptor.from_tensor(out, [TILE_M, TILE_N]), rows, hidden, CHANNELS=channels, PROGRAMS=programs,
        TILE_M=TILE_M, TILE_N=TILE_N, TILE_K=TILE_K, TOGETHER=TOGETHER, num_warps=8, num_stages=3,
    )  # fmt: skip


def _in_two(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    product, hidden = F.linear(x, weight, bias), out.shape[1]
    blocks = triton.cdiv(hidden, BLOCK)
    _gate[(len(x) * blocks,)](product, out, hidden, out.stride(0), BLOCK=BLOCK, num_warps=4)


def _fits(device: torch.device) -> bool:
    """Whether the GPU copies tiles by itself (TMA) and holds those of one product; the interpreter holds any."""
    if device.type != "cuda":
        return True
    gpu = torch.cuda.get_device_properties(device)
    return gpu.major >= 9 and gpu.shared_memory_per_block_optin >= SHARED_BYTES


def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 4
