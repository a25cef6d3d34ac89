"""Each Triton kernel against its twin: on a GPU in half precision, without one in Triton's interpreter."""

import pytest
import torch
from triton import knobs

from latentsync.engines.diffusion.fused import building, geglu_kernels, kernels, twins

torch.set_num_threads(1)  # small tensors: more threads only wait for each other
ON_GPU = torch.cuda.is_available()

DEVICE, DTYPE = ("cuda", torch.float16) if ON_GPU else ("cpu", torch.float32)
ERROR = 2e-3 if ON_GPU else 2e-6  # norm of the difference to the twin in float32, over the twin's norm
GELU_ERROR = max(ERROR, 2e-5)  # the kernel's is no exact one


def numbers(*shape: int, dtype: torch.dtype = DTYPE) -> torch.Tensor:
    return torch.randn(shape, device=DEVICE).to(dtype) + 0.5


def close(found: torch.Tensor, expected: torch.Tensor, limit: float = ERROR) -> None:
    assert found.shape == expected.shape
    error = (found.double() - expected.double()).norm() / expected.double().norm()
    print(f"relative error {error:.1e}")
    assert error <= limit


MAPS = [(2, 200, 64), (4, 64, 96), (32, 1024, 640)] if ON_GPU else [(2, 200, 64), (4, 16, 96)]


@pytest.mark.parametrize("shape", MAPS)
@pytest.mark.parametrize("added", [False, True])
def test_moments(shape, added):
    x = numbers(*shape)
    more = (numbers(*shape), numbers(shape[-1], dtype=torch.float32)) if added else (None, None)
    expected = x.float().clone()  # both write into theirs
    found = kernels.moments(x, *more)
    close(found, twins.moments(expected, *(part if part is None else part.float() for part in more)))
    close(x, expected)


@pytest.mark.parametrize("shape", MAPS)
@pytest.mark.parametrize("beside", [0, 32])
@pytest.mark.parametrize("frames", [1, 2])
def test_norm_of_maps_side_by_side(shape, beside, frames):
    maps = [numbers(*shape), *([numbers(*shape[:2], beside)] if beside else [])]
    channels = shape[-1] + beside
    weights = numbers(channels, dtype=torch.float32), numbers(channels, dtype=torch.float32)
    norm = twins.GroupNorm(*weights, 8, 1e-5)
    bias = numbers(shape[-1], dtype=torch.float32)
    scales, made = [], []
    for ops, given in ((kernels, maps), (twins, [each.float() for each in maps])):
        found = [ops.moments(each) for each in given]
        scales.append(ops.affine(found, bias, norm, shape[1], frames))
        made.append(ops.normalise(given, scales[-1], frames, True))
    close(*scales)
    close(*made)
    if len(maps) == 1:
        whole = (maps[0].float() + bias).unflatten(0, (-1, frames)).flatten(1, 2).transpose(1, 2)
        direct = torch.nn.functional.silu(torch.nn.functional.group_norm(whole, 8, *weights, 1e-5))
        close(made[0], direct.transpose(1, 2).unflatten(1, (frames, -1)).flatten(0, 1))


@pytest.mark.parametrize("channels", [64, 320, 1280])
@pytest.mark.parametrize("frames", [1, 4])
def test_layer_norm_of_strided_rows(channels, frames):
    positions = 24
    x = numbers(8 * positions, 5 * channels)[:, 4 * channels :]
    pending, weight = numbers(channels, dtype=torch.float32), numbers(channels, dtype=torch.float32)
    bias = numbers(frames, channels, dtype=torch.float32)
    found = kernels.layer_norm(x, pending, weight, bias, positions)
    close(found, twins.layer_norm(x.float(), pending, weight, bias, positions))


@pytest.mark.parametrize("way", [geglu_kernels._in_one, geglu_kernels._in_two])  # Hopper's, and older GPUs'
@pytest.mark.parametrize("channels", [64, 320, 640, 1280] if ON_GPU else [64])
def test_geglu(channels, way):
    rows, hidden = (4096 + 40, 4 * channels) if ON_GPU else (200, 256)
    x, weight = numbers(rows, channels), numbers(2 * hidden, channels) / channels**0.5
    bias, buffer = numbers(2 * hidden), numbers(rows, 5 * hidden // 4)
    expected = torch.empty(rows, hidden, device=DEVICE)
    twins.geglu(x.float(), weight.float(), bias.float(), expected)
    way(x, weight, bias, buffer[:, :hidden])
    close(buffer[:, :hidden], expected, GELU_ERROR)


def test_gelu_at_any_gate():
    gates = torch.linspace(-14, 14, 512, device=DEVICE).to(DTYPE)[:, None]
    one, none = gates.new_ones(1), gates.new_zeros(1)
    made = torch.empty_like(gates)
    geglu_kernels._in_two(gates, torch.stack([none, one]), torch.cat([one, none]), made)  # the value is 1
    expected = torch.nn.functional.gelu(gates.double())
    assert (made.double() - expected).abs().max() <= (1e-2 if ON_GPU else 3e-5)


@pytest.mark.parametrize(("channels", "heads"), [(320, 8), (640, 8), (1280, 8)] if ON_GPU else [(40, 2), (64, 2)])
@pytest.mark.parametrize(("frames", "positions"), [(16, 64), (16, 67), (5, 9)])
def test_temporal_attention(channels, heads, frames, positions):
    qkv = numbers(2 * frames, positions, 3 * channels)
    close(kernels.temporal_attention(qkv, frames, heads), twins.temporal_attention(qkv.float(), frames, heads))


@pytest.mark.parametrize(("channels", "heads"), [(320, 8), (640, 8), (1280, 8)] if ON_GPU else [(40, 2), (160, 1)])
@pytest.mark.parametrize("positions", [9, 64, 200])
def test_cross_attention_to_a_slice_of_all_layers(channels, heads, positions):
    q, kv = numbers(3, positions, channels), numbers(3, 50, 5 * channels)[..., channels : 3 * channels]
    close(kernels.cross_attention(q, kv, heads), twins.cross_attention(q.float(), kv.float(), heads))


@pytest.mark.parametrize("columns", [1024, 100])
def test_softmax_in_place(columns):
    scores = 4 * numbers(3, 5, columns)
    expected = scores.float()
    kernels.softmax(scores)
    twins.softmax(expected)
    close(scores, expected)


def test_interleave():
    quarters, bias = numbers(2, 7, 5, 4 * 96), numbers(96, dtype=torch.float32)
    close(kernels.interleave(quarters, bias), twins.interleave(quarters.float(), bias))


@pytest.mark.parametrize("channels", [320, 640, 1280] if ON_GPU else [64])
def test_self_attention(channels):
    qkv = numbers(4, 256, 3 * channels)
    close(kernels.self_attention(qkv, 8), twins.self_attention(qkv.float(), 8))


@pytest.mark.skipif(not ON_GPU, reason="Triton's interpreter builds nothing")
def test_kernels_built_together_are_not_launched_then_and_not_built_again(monkeypatch):
    scores = 4 * numbers(3, 5, 600)
    given, expected = scores.clone(), scores.float()
    building.build_together(lambda: kernels.softmax(scores), torch.device("cuda", 0))
    assert torch.equal(scores, given)
    built: list[str] = []
    monkeypatch.setattr(knobs.runtime, "jit_cache_hook", lambda **asked: built.append(asked["repr"]))
    kernels.softmax(scores)
    twins.softmax(expected)
    close(scores, expected)
    assert built == []
