"""Triton kernels of the temporal and cross-attention, and of the VAE's softmax; their twins say what each computes."""

# pyright: reportCallIssue=false, reportReturnType=false, reportArgumentType=false
# (Triton types neither launches nor its arithmetic on plain numbers.)

import triton
import triton.language as tl
from torch import Tensor

FRAMES = 16  # rows of a temporal tile; a shorter window leaves some unused
NUMBERS = 2**14  # of a cross-attention tile; more leave no registers


@triton.jit
def _softmax_product(scores, v):
    """softmax(scores) @ v, normalised after the product."""
    weights = tl.exp2(scores - tl.max(scores, 1)[:, None])
    return tl.dot(weights.to(v.dtype), v, input_precision="ieee") / tl.sum(weights, 1)[:, None]


@triton.jit(do_not_specialize=["positions", "frames"])
def _temporal(qkv, out, positions, frames, heads, channels, scale, HEAD: tl.constexpr, WIDTH: tl.constexpr,
              FRAMES: tl.constexpr):  # fmt: skip
    program = tl.program_id(0)
    head, place = program % heads, program // heads % positions
    frame, d = tl.arange(0, FRAMES), tl.arange(0, WIDTH)
    at = ((program // (heads * positions)).to(tl.int64) * frames + frame) * positions + place
    mine = (frame < frames)[:, None] & (d < HEAD)[None, :]
    source = qkv + at[:, None] * 3 * channels + head * HEAD + d[None, :]
    q = tl.load(source, mask=mine, other=0)
    k = tl.load(source + channels, mask=mine, other=0)
    v = tl.load(source + 2 * channels, mask=mine, other=0)
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    result = _softmax_product(tl.where((frame < frames)[None, :], scores, float("-inf")), v)
    tl.store(out + at[:, None] * channels + head * HEAD + d[None, :], result.to(out.dtype.element_ty), mask=mine)


@triton.jit(do_not_specialize=["positions", "tokens"])
def _cross(q, kv, out, positions, tokens, heads, channels, image_stride, token_stride, scale, HEAD: tl.constexpr,
           WIDTH: tl.constexpr, ROWS: tl.constexpr, TOKENS: tl.constexpr):  # fmt: skip
    program = tl.program_id(0)
    head, tiles = program % heads, tl.cdiv(positions, ROWS)
    image = (program // (heads * tiles)).to(tl.int64)
    row = program // heads % tiles * ROWS + tl.arange(0, ROWS)
    d, t = tl.arange(0, WIDTH), tl.arange(0, TOKENS)
    mine = (row < positions)[:, None] & (d < HEAD)[None, :]
    at = (image * positions + row)[:, None] * channels + head * HEAD + d[None, :]
    heard = (t < tokens)[:, None] & (d < HEAD)[None, :]
    source = kv + image * image_stride + t[:, None] * token_stride + head * HEAD + d[None, :]
    k = tl.load(source, mask=heard, other=0)
    v = tl.load(source + channels, mask=heard, other=0)
    scores = tl.dot(tl.load(q + at, mask=mine, other=0), tl.trans(k), input_precision="ieee") * scale
    result = _softmax_product(tl.where((t < tokens)[None, :], scores, float("-inf")), v)
    tl.store(out + at, result.to(out.dtype.element_ty), mask=mine)


@triton.jit
def _softmax(scores, columns, BLOCK: tl.constexpr):
    c = tl.arange(0, BLOCK)
    at = scores + tl.program_id(0).to(tl.int64) * columns + c
    value = tl.load(at, mask=c < columns, other=float("-inf")).to(tl.float32) * 1.4426950408889634
    weights = tl.exp2(value - tl.max(value, 0))
    tl.store(at, (weights / tl.sum(weights, 0)).to(scores.dtype.element_ty), mask=c < columns)


def temporal_attention(qkv: Tensor, frames: int, heads: int) -> Tensor:
    images, positions, channels = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    out = qkv.new_empty(images, positions, channels)
    _temporal[(images // frames * positions * heads,)](
        qkv, out, positions, frames, heads, channels, _scale(channels // heads), HEAD=channels // heads,
        WIDTH=_width(channels // heads), FRAMES=FRAMES, num_warps=1,
    )  # fmt: skip
    return out


def cross_attention(q: Tensor, kv: Tensor, heads: int) -> Tensor:
    images, positions, channels = q.shape
    width = _width(channels // heads)
    rows = min(128, NUMBERS // width)
    out = q.new_empty(q.shape)
    _cross[(images * triton.cdiv(positions, rows) * heads,)](
        q, kv, out, positions, kv.shape[1], heads, channels, kv.stride(0), kv.stride(1), _scale(channels // heads),
        HEAD=channels // heads, WIDTH=width, ROWS=rows,
        TOKENS=max(16, triton.next_power_of_2(kv.shape[1])), num_warps=4,
    )  # fmt: skip
    return out


def softmax(scores: Tensor) -> None:
    columns = scores.shape[-1]
    _softmax[(scores.numel() // columns,)](scores, columns, BLOCK=triton.next_power_of_2(columns), num_warps=8)


def _scale(head: int) -> float:
    """Of the scores, in powers of two instead of e: exp2 is the instruction."""
    return head**-0.5 * 1.4426950408889634


def _width(head: int) -> int:
    return max(16, triton.next_power_of_2(head))
