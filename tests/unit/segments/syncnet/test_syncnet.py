"""SyncNet against computations of its own kind: loops over numpy arrays, no torch."""

import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from latentsync.errors import WeightsError
from latentsync.records import Artefact, Segment
from latentsync.segments.syncnet.distance import SHIFT_FRAMES, lse, mean_distances
from latentsync.segments.syncnet.mfcc import mfcc
from latentsync.segments.syncnet.network import FACE_PX, LIP_LAYERS, VOICE_LAYERS, SyncNet, load_syncnet
from latentsync.segments.syncnet.stretch import frames_at_its_rate, heard_samples, measured_frames
from latentsync.segments.syncnet.weights import refuse_bad_weights
from latentsync.settings import ScoreSettings
from tests.synthetic import ffmpeg
from tests.unit.tasks.test_keys import World


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


@pytest.mark.slow
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
    distance, confidence = lse(network, [*faces, faces[0]], np.zeros(8_000, np.int16)) or (0, -1)
    assert distance > 0
    assert confidence >= 0


@pytest.mark.slow
def test_weights_load_strictly(network: SyncNet, tmp_path: Path) -> None:
    whole, part = tmp_path / "syncnet_v2.model", tmp_path / "part.model"
    torch.save(network.state_dict(), whole, _use_new_zipfile_serialization=False)  # as the published file is
    loaded = load_syncnet(whole)
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in network.state_dict().items())
    older = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    torch.save(older, whole)  # before 0.4.1, PyTorch did not count batches
    assert all(torch.equal(load_syncnet(whole).state_dict()[name], tensor) for name, tensor in older.items())
    older["netfclip.0.weight"] = older["netfclip.0.weight"][:4]
    torch.save(older, part)
    with pytest.raises(WeightsError, match=r"does not fit SyncNet: 1 of another shape: netfclip.0.weight 4x512"):
        load_syncnet(part)


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04" * 40, pickle.dumps([1], 2)])
def test_a_file_of_anything_else_is_refused_with_the_remedy(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "weights.model"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights.model .*; give the published syncnet_v2.model"):
        load_syncnet(file)


def test_weights_that_are_missing_or_wrong_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    missing = tmp_path / "none.model"
    with pytest.raises(WeightsError, match=r"none.model: no such file; give the published"):
        refuse_bad_weights(ScoreSettings(syncnet=str(missing)))
    refuse_bad_weights(ScoreSettings(syncnet=str(missing), gate="off"))  # nothing is measured


def test_it_sees_and_hears_some_seconds_of_the_longest_stretch_of_new_faces(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.opacity[:20] = 0
    job, plan = world.job(), world.plan()
    segment = Segment(index=0, start=0, end=160, clip_end=160)
    assert measured_frames(job, plan, segment) == (27, 152)  # 125 frames in the middle of 20..160
    ffmpeg("-f", "lavfi", "-i", "aevalsrc=0.5*t/7:d=6.4:s=16000", tmp_path / "sound.wav")
    heard = heard_samples(job, (27, 152), Artefact.of(tmp_path / "sound.wav"))
    assert (len(heard), heard[0]) == (125 * 640, pytest.approx(32768 * 0.5 * 27 / 25 / 7, abs=1))


@pytest.mark.parametrize(("fps", "first"), [("25", [0, 1, 2, 3, 4]), ("50", [0, 2, 4, 6, 8]), ("24", [0, 0, 1, 2, 3])])
def test_frames_come_at_the_rate_that_it_has_learned(fps: str, first: list[int]) -> None:
    shown = frames_at_its_rate(int(4 * Fraction(fps)), Fraction(fps))
    assert (len(shown), shown[:5].tolist()) == (100, first)
