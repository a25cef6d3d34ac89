import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from latentsync.engines.diffusion.device import pick_dtype
from latentsync.engines.diffusion.engine import LatentSyncEngine
from latentsync.engines.diffusion.memory import Workload
from latentsync.engines.diffusion.networks import NetworkMakers, Networks
from latentsync.engines.diffusion.random_weights import random_unet, random_vae, random_whisper
from latentsync.engines.diffusion.spec import LatentSyncSettings
from latentsync.engines.protocol import ClipContext, FaceWindow
from latentsync.errors import InputError, TransientError, WeightsError
from tests.unit.engines.diffusion.weights_on_disk import (
    RESOLUTION_PX,
    write_tiny_weights,
)
from tests.unit.engines.signals import speech_like, write_wav

FPS = Fraction(25)
CLIP = ClipContext(mouth=np.zeros((0, 0, 2), np.float32), read_face=lambda index: np.zeros(0))
on_cpu = {"device": "cpu", "steps": 2}


def load(weights: Path, resolution_px: int = RESOLUTION_PX, **settings) -> LatentSyncEngine:
    return LatentSyncEngine.load(LatentSyncSettings(weights=weights, **settings), resolution_px=resolution_px)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def engine(weights) -> LatentSyncEngine:
    return load(weights, windows_per_batch=2, **on_cpu)


@pytest.fixture(scope="module")
def voice(engine, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("voice")
    wav = write_wav(folder / "voice.wav", speech_like(4))
    engine.extract_voice(wav, FPS, 100, folder / "voice.npy")
    return folder / "voice.npy"


def window(start: int, frames: int = 16) -> FaceWindow:
    random = np.random.default_rng(start)
    faces = random.integers(0, 256, (frames, RESOLUTION_PX, RESOLUTION_PX, 3), dtype=np.uint8)
    return FaceWindow(start, faces, np.zeros((frames, 1, 2), np.float32))


@pytest.mark.slow
class TestGeneration:
    def test_every_window_gets_new_faces_of_its_own_length(self, engine, voice):
        batch = [window(0), window(16), window(32, 5)]
        made = engine.session(voice, FPS, CLIP).generate(batch)
        assert [faces.shape for faces in made] == [window.faces.shape for window in batch]
        assert all(faces.dtype == np.uint8 for faces in made)
        assert all((new != old.faces).any() for new, old in zip(made, batch, strict=True))

    def test_a_window_does_not_depend_on_its_neighbours_in_the_batch(self, engine, voice):
        session = engine.session(voice, FPS, CLIP)
        first = session.generate([window(0), window(16)])
        second = session.generate([window(0), window(48)])
        again = session.generate([window(0), window(16)])
        assert np.array_equal(first[0], second[0])
        assert np.array_equal(first[1], again[1])

    def test_another_batch_size_differs_by_at_most_one_grey_level(self, engine, voice):
        session = engine.session(voice, FPS, CLIP)
        together = session.generate([window(0), window(16)])
        alone = [session.generate([window(start)])[0] for start in (0, 16)]
        for one, other in zip(together, alone, strict=True):
            assert np.abs(one.astype(int) - other).max() <= 1

    def test_the_voice_at_the_window_s_place_matters(self, engine, voice):
        session = engine.session(voice, FPS, CLIP)
        here = window(0)
        there = FaceWindow(40, here.faces, here.mouth)
        assert not np.array_equal(session.generate([here])[0], session.generate([there])[0])

    def test_the_seed_matters_and_only_the_seed(self, weights, engine, voice):
        made = [
            load(weights, seed=seed, **on_cpu).session(voice, FPS, CLIP).generate([window(0, 4)])[0]
            for seed in (1247, 1247, 1)
        ]
        assert np.array_equal(made[0], made[1])
        assert not np.array_equal(made[0], made[2])

    @pytest.mark.parametrize(
        "options",
        [{"deepcache": 2}, {"deepcache": 2, "deepcache_branch": 2}, {"scheduler": "dpm"}, {"guidance_scale": 1.0}],
    )
    def test_options_reach_the_sampling(self, weights, voice, options):
        batch, without = [window(0, 4)], {**on_cpu, "steps": 3}
        if "deepcache_branch" in options:
            without["deepcache"] = 2
        base = load(weights, **without)
        usual = base.session(voice, FPS, CLIP).generate(batch)[0]
        other = load(weights, **{**without, **options})
        assert not np.array_equal(other.session(voice, FPS, CLIP).generate(batch)[0], usual)

    def test_shortage_of_memory_shrinks_the_work_and_the_faces_come_out_all_the_same(
        self, weights, engine, voice, monkeypatch
    ):
        batch = [window(0), window(16)]
        expected = engine.session(voice, FPS, CLIP).generate(batch)
        short = load(weights, windows_per_batch=2, **on_cpu)
        unet = short.models.unet
        usual_forward = unet.forward

        def forward(sample: torch.Tensor, *args: object, **options: object) -> object:
            if len(sample) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return usual_forward(sample, *args, **options)

        monkeypatch.setattr(unet, "forward", forward)
        made = short.session(voice, FPS, CLIP).generate(batch)
        assert short.workload == Workload(windows=1, vae_frames=1, split_guidance=True)
        assert short.windows_per_batch == 2  # the grid of batches does not move
        for one, other in zip(made, expected, strict=True):
            assert np.abs(one.astype(int) - other).max() <= 1

    def test_a_shortage_that_stays_is_a_passing_failure(self, weights, voice, monkeypatch):
        engine = load(weights, **on_cpu)

        def forward(*args: object, **options: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(engine.models.unet, "forward", forward)
        with pytest.raises(TransientError, match="out of GPU memory"):
            engine.session(voice, FPS, CLIP).generate([window(0, 2)])

    def test_the_parts_make_the_whole(self, engine, voice):
        faces = window(0)
        whole = engine.session(voice, FPS, CLIP).generate([faces])[0]
        on_device = torch.from_numpy(faces.faces[None])
        tokens = np.load(voice)[np.clip(np.arange(16)[:, None] * 2 + np.arange(-4, 6), 0, None)]
        latents = engine.denoise(torch.from_numpy(tokens).flatten(1, 2), *engine.encode(on_device))
        assert np.array_equal(engine.decode(latents, on_device)[0].numpy(), whole)

    def test_random_weights_need_no_files(self):
        settings = LatentSyncSettings(**on_cpu)
        engine = LatentSyncEngine.random(settings, size="tiny", resolution_px=RESOLUTION_PX)
        tokens = np.zeros((1, 2, 50, 32), np.float32)
        (made,) = engine.submit(window(0, 2).faces[None], tokens).faces()
        assert made.shape == (2, RESOLUTION_PX, RESOLUTION_PX, 3)

    def test_models_are_loaded_once(self, weights):
        engine = load(weights, **on_cpu)
        assert engine.models is engine.models


class TestTwoJobs:
    @pytest.mark.slow
    def test_they_take_turns_and_one_s_shortage_does_not_change_the_other_s_batch(self, weights, monkeypatch):
        """Both threads go through the same networks, one batch at a time, each with the workload it began with."""
        engine = load(weights, windows_per_batch=2, **on_cpu)
        usual, inside, seen = engine.encode, threading.Semaphore(1), []

        def encode(faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            assert inside.acquire(blocking=False), "two jobs at once"
            seen.append((threading.get_ident(), engine.workload))
            try:
                if len(faces) > 1:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                return usual(faces)
            finally:
                inside.release()

        monkeypatch.setattr(engine, "encode", encode)
        batch, tokens = np.stack([window(0, 2).faces, window(2, 2).faces]), np.zeros((2, 2, 50, 32), np.float32)
        with ThreadPoolExecutor(2) as jobs:
            made = list(jobs.map(lambda _: engine.submit(batch, tokens).faces(), range(2)))
        assert np.array_equal(made[0], made[1])
        first = seen[0][0]
        own_turns = [thread for thread, _ in seen]
        assert own_turns == sorted(own_turns, key=lambda thread: thread != first)  # never one within the other


def test_numbers_out_of_range_are_refused_with_the_remedy(weights, monkeypatch):
    engine = load(weights, **on_cpu)
    usual = engine.denoise
    monkeypatch.setattr(engine, "denoise", lambda *given: usual(*given) / 0)
    with pytest.raises(InputError, match="--dtype bfloat16"):
        engine.submit(window(0, 2).faces[None], np.zeros((1, 2, 50, 32), np.float32)).faces()


def test_weights_of_another_resolution_are_refused(tmp_path):
    weights = write_tiny_weights(tmp_path)
    with pytest.raises(WeightsError, match=r"made for 64 px .*, not for 512 px"):
        load(weights, 512, **on_cpu)


@pytest.mark.parametrize(
    "missing", ["latentsync_unet.pt", "whisper/tiny.pt", "vae/diffusion_pytorch_model.safetensors"]
)
def test_a_missing_file_is_told_before_anything_is_loaded(tmp_path, missing):
    folder = write_tiny_weights(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(WeightsError, match="lipsync weights fetch"):
        load(folder, **on_cpu)


def test_whisper_is_loaded_while_the_other_networks_are():
    whisper_began = threading.Event()

    def whisper(device: torch.device):
        whisper_began.set()
        return random_whisper("tiny", device)

    def unet(device: torch.device, dtype: torch.dtype):
        assert whisper_began.wait(60)
        return random_unet("tiny", device, dtype)

    makers = NetworkMakers(unet, partial(random_vae, "tiny"), whisper)
    engine = LatentSyncEngine(LatentSyncSettings(device="cpu"), RESOLUTION_PX, 0, partial(Networks, makers=makers))
    engine.preload()
    assert engine._networks.are_loaded


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_without_a_gpu_the_remedies_are_named(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"needs a CUDA GPU.*--engine warp.*--device cpu"):
        LatentSyncEngine.random(LatentSyncSettings(device=device), size="tiny", resolution_px=RESOLUTION_PX)


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((9, 0), torch.float16), ((7, 5), torch.float16), ((6, 1), torch.float32)],
)
def test_numbers_follow_the_capability(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert pick_dtype("auto", torch.device("cuda:0")) == expected
    assert pick_dtype("float32", torch.device("cuda:0")) == torch.float32


def test_the_cpu_computes_in_full_numbers():
    assert pick_dtype("auto", torch.device("cpu")) == torch.float32


def test_engines_with_other_options_share_their_networks(weights):
    first, other = (load(weights, device="cpu", steps=steps, seed=steps) for steps in (2, 3))
    assert first.models is other.models


def test_networks_of_other_weights_take_the_place_of_the_last(weights, tmp_path):
    first = load(weights, **on_cpu)
    other = load(write_tiny_weights(tmp_path), **on_cpu)
    again = load(weights, **on_cpu)
    assert len({id(engine.models) for engine in (first, other, again)}) == 3
