"""SyncNet against computations of its own kind: loops over numpy arrays, no torch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from latentsync.errors import WeightsError
from latentsync.segments.syncnet.distance import SHIFT_FRAMES, lse, mean_distances
from latentsync.segments.syncnet.mfcc import mfcc
from latentsync.segments.syncnet.network import FACE_PX, LIP_LAYERS, VOICE_LAYERS, SyncNet, load_syncnet


@pytest.fixture(scope="module")
def network() -> SyncNet:
    """Random weights, and statistics as of a trained network: the towers must use them."""
    torch.manual_seed(4)
    made = SyncNet().eval().requires_grad_(False)
    for name, buffer in made.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return made


def by_hand(network: SyncNet, x: np.ndarray, tower: str, head: str, layers: tuple) -> np.ndarray:
    """One input (C, *sizes) through a tower and its head."""
    values = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
    at = 0
    for _, _kernel, stride, padding, most in layers:
        x = conv(x, values[f"{tower}.{at}.weight"], values[f"{tower}.{at}.bias"], stride, padding)
        x = np.maximum(normed(x, values, f"{tower}.{at + 1}"), 0)
        at += 3
        if most:
            x, at = maximum(x, *most), at + 1
    x = values[f"{head}.0.weight"] @ x.ravel() + values[f"{head}.0.bias"]
    x = np.maximum(normed(x, values, f"{head}.1"), 0)
    return values[f"{head}.3.weight"] @ x + values[f"{head}.3.bias"]


def normed(x: np.ndarray, values: dict, name: str) -> np.ndarray:
    weight, bias, mean, variance = (
        values[f"{name}.{part}"].reshape(-1, *[1] * (x.ndim - 1))
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: tuple, padding: tuple) -> np.ndarray:
    x = np.pad(x, [(0, 0), *((pad, pad) for pad in padding)])
    axes = tuple(range(1, x.ndim))
    seen = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axes)
    seen = seen[(slice(None), *(slice(None, None, step) for step in stride))]
    places = seen.shape[1 : x.ndim]
    columns = np.moveaxis(seen, 0, x.ndim - 1).reshape(int(np.prod(places)), -1)
    return (columns @ weight.reshape(len(weight), -1).T + bias).T.reshape(len(weight), *places)


def maximum(x: np.ndarray, kernel: tuple, stride: tuple, padding: tuple) -> np.ndarray:
    x = np.pad(x, [(0, 0), *((pad, pad) for pad in padding)], constant_values=-np.inf)
    axes = tuple(range(1, x.ndim))
    seen = np.lib.stride_tricks.sliding_window_view(x, kernel, axes)
    seen = seen[(slice(None), *(slice(None, None, step) for step in stride))]
    return seen.max(axis=tuple(range(x.ndim, seen.ndim)))


def test_towers_are_what_a_computation_by_hand_gives(network: SyncNet) -> None:
    random = np.random.default_rng(1)
    faces, voice = random.integers(0, 256, (3, 5, FACE_PX, FACE_PX)), random.normal(0, 5, (1, 13, 20))
    seen = network.see(torch.tensor(faces[None], dtype=torch.float32))[0].numpy()
    heard = network.hear(torch.tensor(voice[None], dtype=torch.float32))[0].numpy()
    np.testing.assert_allclose(seen, by_hand(network, faces, "netcnnlip", "netfclip", LIP_LAYERS), atol=2e-3, rtol=1e-3)
    np.testing.assert_allclose(heard, by_hand(network, voice, "netcnnaud", "netfcaud", VOICE_LAYERS), atol=1e-4)
    assert seen.std() > 0.05


def test_names_are_those_of_the_published_file(network: SyncNet) -> None:
    names = set(network.state_dict())
    assert {"netcnnaud.0.weight", "netcnnaud.18.bias", "netcnnlip.18.weight", "netfclip.3.weight"} <= names
    assert {name.split(".")[0] for name in names} == {"netcnnaud", "netfcaud", "netfclip", "netcnnlip"}
    assert tuple(network.state_dict()["netcnnlip.18.weight"].shape) == (512, 256, 1, 6, 6)


def test_mfcc_is_what_its_definition_gives() -> None:
    samples = np.random.default_rng(2).integers(-9000, 9000, 1000)
    emphasised = [samples[0], *(samples[n] - 0.97 * samples[n - 1] for n in range(1, 1000))] + [0.0] * 40
    corners = [int(513 * 700 * (10 ** (mel / 2595) - 1) / 16000) for mel in np.linspace(0, 2840.0230467083184, 28)]
    rows = mfcc(samples)
    assert rows.shape == (5, 13)
    for row in range(5):
        spectrum = np.fft.fft(np.concatenate([emphasised[160 * row : 160 * row + 400], np.zeros(112)]))[:257]
        power = np.abs(spectrum) ** 2 / 512
        bands = []
        for low, middle, high in zip(corners, corners[1:], corners[2:], strict=False):
            rising = sum(power[k] * (k - low) / (middle - low) for k in range(low, middle))
            bands.append(np.log(rising + sum(power[k] * (high - k) / (high - middle) for k in range(middle, high))))
        wanted = [np.log(power.sum())]
        for order in range(1, 13):
            cosine = sum(band * np.cos(np.pi * order * (2 * k + 1) / 52) for k, band in enumerate(bands))
            wanted.append(cosine * np.sqrt(2 / 26) * (1 + 11 * np.sin(np.pi * order / 22)))
        np.testing.assert_allclose(rows[row], wanted, rtol=1e-6)


def test_a_shift_of_the_voice_is_where_the_distance_is_smallest() -> None:
    seen = torch.randn(100, 8, generator=torch.manual_seed(3))
    means = mean_distances(seen[:95], seen[2:97])
    assert int(means.argmin()) == SHIFT_FRAMES - 2
    assert means.min() < means.median() / 2


def test_too_little_has_no_distance(network: SyncNet) -> None:
    faces = [np.zeros((FACE_PX, FACE_PX, 3), np.uint8)] * 4
    assert lse(network, faces, np.zeros(16_000, np.int16)) is None
    distance, confidence = lse(network, faces * 2, np.zeros(8_000, np.int16)) or (0, -1)
    assert distance > 0
    assert confidence >= 0


def test_weights_load_strictly(network: SyncNet, tmp_path: Path) -> None:
    whole, part = tmp_path / "syncnet_v2.model", tmp_path / "part.model"
    torch.save(network.state_dict(), whole, _use_new_zipfile_serialization=False)  # as the published file is
    loaded = load_syncnet(whole)
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in network.state_dict().items())
    torch.save({"netfclip.0.weight": torch.zeros(2)}, part)
    with pytest.raises(WeightsError, match=r"does not fit SyncNet: .* missing"):
        load_syncnet(part)
    part.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="holds no readable tensors"):
        load_syncnet(part)
