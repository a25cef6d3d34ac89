"""The LatentSync engine: windows of aligned faces and a voice through VAE and UNet, new faces out."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from copy import copy
from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentsync.engines.diffusion.codec import PIXELS_PER_LATENT
from latentsync.engines.diffusion.device import pick_device, pick_dtype
from latentsync.engines.diffusion.memory import (
    MAX_VAE_FRAMES,
    SMALLEST,
    Ladder,
    Watermarks,
    Workload,
    workload_that_fits,
)
from latentsync.engines.diffusion.networks import Models, Networks, Place, published_networks, random_networks
from latentsync.engines.diffusion.random_weights import Size
from latentsync.engines.diffusion.sampling import DeepCache, denoise, on_device
from latentsync.engines.diffusion.spec import LatentSyncSettings, weights_folder
from latentsync.engines.diffusion.submitted import Submitted
from latentsync.engines.diffusion.voice import frame_tokens, write_features
from latentsync.engines.protocol import WINDOW_FRAMES, ClipContext, FaceWindow

log = logging.getLogger(__name__)

LATENT_CHANNELS = 4
TOKENS = 50  # that a frame hears
PRELOAD_STEPS = 4  # with them each kind of pass of each quality has its turn
MODEL_NUMBERS = 1_360_000_000  # weights of UNet, VAE and whisper


class LatentSyncEngine:
    """LatentSync on one device; loads its networks at the first use and keeps them.

    Its parts can be called one by one: ``encode``, ``denoise``, ``decode``, for B windows of F frames.
    """

    def __init__(
        self, settings: LatentSyncSettings, resolution_px: int, gpu: int, networks: Callable[[Place], Networks]
    ):
        self.resolution_px = resolution_px
        self.settings = settings
        self.device = pick_device(settings.device, gpu)
        self.dtype = pick_dtype(settings.dtype, self.device)
        self._networks = networks(Place(resolution_px, self.device, self.dtype, settings.fused))
        self._ladder = Ladder(self._first_workload(), self._free)
        self.windows_per_batch = self._ladder.workload.windows  # the grid of batches: fixed from the start
        size = resolution_px // PIXELS_PER_LATENT
        noise = torch.randn(
            (1, LATENT_CHANNELS, 1, size, size), generator=torch.Generator().manual_seed(settings.seed)
        )  # on the CPU: the same on every device
        self._noise = noise.to(self.device)

    @classmethod
    def load(cls, settings: LatentSyncSettings, *, resolution_px: int, gpu: int = 0) -> "LatentSyncEngine":
        """Engine on a folder of weights (see ``checkpoints``), on the GPU of index ``gpu`` unless on the CPU.

        Engines that differ in other settings than device, dtype and fused share their networks.
        Raises ``WeightsError`` for missing files or another resolution, ``InputError`` without a GPU.
        """
        weights = weights_folder(settings)
        return cls(settings, resolution_px, gpu, lambda place: published_networks(weights, place))

    @classmethod
    def random(
        cls, settings: LatentSyncSettings, *, size: Size = "full", resolution_px: int = 512, gpu: int = 0
    ) -> "LatentSyncEngine":
        """Engine on random weights, for measurements and tests; otherwise as ``load``."""
        return cls(settings, resolution_px, gpu, lambda place: random_networks(size, place))

    @property
    def models(self) -> Models:
        """The networks that generate, loaded by the first call; who takes them works on their GPU from then on."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # of this thread, which begins with GPU 0: for kernels and graphs
        return self._networks.models

    def preload(self) -> None:
        """Load all networks now and have their kernels built, not at the first window."""
        with self._loading_models():
            _ = self._networks.whisper

    @contextmanager
    def _loading_models(self) -> Iterator[None]:
        """The networks that generate are loaded beside the block, which ends when both have; its error goes first."""
        with ThreadPoolExecutor(1) as beside:
            loaded = beside.submit(copy_context().run, self._preload_models)  # logs and counts for the block's run
            yield
            loaded.result()

    def _preload_models(self) -> None:
        if self._networks.are_loaded:
            return
        config = self.models.config
        if self.device.type == "cuda":
            quick = copy(self)
            quick.settings = self.settings.model_copy(update={"steps": PRELOAD_STEPS})
            shape = self.windows_per_batch, WINDOW_FRAMES
            faces = np.zeros((*shape, self.resolution_px, self.resolution_px, 3), np.uint8)
            tokens = np.zeros((*shape, TOKENS, config.cross_attention_dim), np.float32)
            self.models.build(lambda: quick.submit(faces, tokens))
            quick.submit(faces, tokens).faces()

    @property
    def workload(self) -> Workload:
        """How much is on the device at a time; shrinks when memory runs out."""
        return self._ladder.workload

    def extract_voice(self, audio: Path, fps: Fraction, frames: int, out: Path) -> None:
        """Write whisper's features of a 16 kHz mono WAV to ``out``: 50 rows per second at any ``fps``.

        Generating follows: on a GPU its networks are loaded meanwhile.
        """
        with self._loading_models() if self.device.type == "cuda" else nullcontext():
            Ladder(SMALLEST).run(lambda _: write_features(audio, self._networks.whisper, out))

    def session(self, voice: Path, fps: Fraction, clip: ClipContext) -> "LatentSyncSession":
        """Bind the engine to a voice; it looks at nothing of the clip but its windows."""
        return LatentSyncSession(self, voice, fps)

    def submit(self, faces: np.ndarray, tokens: np.ndarray) -> Submitted:
        """Have new faces of B windows of equal length made; on a GPU this returns before they are.

        ``faces`` (B, F, R, R, 3) uint8, ``tokens`` (B, F, T, C) float32. Goes down the ladder when GPU
        memory runs out; raises ``TransientError`` at its end.
        """

        def work(workload: Workload) -> Submitted:
            starts = range(0, len(faces), workload.windows)
            batches = (slice(start, start + workload.windows) for start in starts)
            made = [self._made(faces[batch], tokens[batch]) for batch in batches]
            return Submitted(torch.cat([new for new, _ in made]), torch.stack([finite for _, finite in made]).all())

        with self._networks.turn:  # two jobs on this GPU share the networks' buffers and this ladder
            made = self._ladder.run(work)
            if self.device.type == "cuda":
                self._watermarks().relieve(self._used_bytes)
        return made

    def encode(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (B, 4, F, h, w) of the masked faces and of the faces, from (B, F, R, R, 3) uint8."""
        return self.models.codec.encode(faces, self.workload.vae_frames)

    def denoise(self, tokens: Tensor, masked_latents: Tensor, reference_latents: Tensor) -> Tensor:
        """Latents (B, 4, F, h, w) of faces that say ``tokens`` (B*F, T, C)."""
        models, settings = self.models, self.settings
        return denoise(
            models.unet,
            self._noise,
            tokens.to(self.dtype),
            models.codec.latent_mask,
            masked_latents,
            reference_latents,
            steps=settings.steps,
            guidance_scale=settings.guidance_scale,
            guidance_steps=(settings.guidance_start, settings.guidance_end),
            scheduler=settings.scheduler,
            deepcache=DeepCache(settings.deepcache, settings.deepcache_branch) if settings.deepcache else None,
            split_guidance=self.workload.split_guidance,
            predictor=models.predictor,
        )

    def decode(self, latents: Tensor, faces: Tensor) -> Tensor:
        """New faces (B, F, R, R, 3) uint8 from latents and the faces around the mouth."""
        return self.models.codec.decode(latents, faces, self.workload.vae_frames)

    def _made(self, faces: np.ndarray, tokens: np.ndarray) -> tuple[Tensor, Tensor]:
        """New faces of a batch, and whether all numbers on the way were finite."""
        there = on_device(torch.from_numpy(faces), self.device)
        heard = on_device(torch.from_numpy(tokens), self.device).flatten(0, 1)
        latents = self.denoise(heard, *self.encode(there))
        return self.decode(latents, there), latents.isfinite().all()

    def _first_workload(self) -> Workload:
        guided = self.settings.guidance_scale > 1
        workload = Workload(windows=1, vae_frames=MAX_VAE_FRAMES, split_guidance=not guided)
        if self.device.type == "cuda":
            to_load = 0 if self._networks.are_loaded else MODEL_NUMBERS * self.dtype.itemsize
            free = torch.cuda.mem_get_info(self.device)[0] - to_load
            workload = workload_that_fits(free, self.resolution_px, self.dtype.itemsize, guided)
        return replace(workload, windows=self.settings.windows_per_batch or workload.windows)

    def _free(self) -> None:
        if self._networks.are_loaded:
            self._networks.models.free()

    def _watermarks(self) -> Watermarks:
        total = torch.cuda.get_device_properties(self.device).total_memory
        return Watermarks.of_gpu(total, self.settings.gpu_low_watermark_gib, self.settings.gpu_high_watermark_gib)

    def _used_bytes(self) -> int:
        free, total = torch.cuda.mem_get_info(self.device)
        return total - free


class LatentSyncSession:
    """The engine bound to one voice."""

    def __init__(self, engine: LatentSyncEngine, voice: Path, fps: Fraction):
        self._engine, self._voice, self._fps = engine, voice, fps

    def generate(self, batch: Sequence[FaceWindow]) -> list[np.ndarray]:
        """New faces of each window, (F, R, R, 3) uint8.

        Windows of equal length go through the networks together; shorter ones are never padded, for a
        window's frames influence each other.
        """
        return next(self.stream([batch]))

    def stream(self, batches: Iterable[Sequence[FaceWindow]]) -> Iterator[list[np.ndarray]]:
        """What ``generate`` makes of each batch; a GPU gets its next batch before it has finished the last."""
        ahead = 1 if self._engine.device.type == "cuda" else 0
        under_way: deque[list[Submitted]] = deque()
        for batch in batches:
            equal = groupby(batch, key=lambda window: len(window.faces))
            under_way.append([self._submit(list(windows)) for _, windows in equal])
            if len(under_way) > ahead:
                yield _faces(under_way.popleft())
        while under_way:
            yield _faces(under_way.popleft())

    def _submit(self, windows: Sequence[FaceWindow]) -> Submitted:
        tokens = [self._tokens(window) for window in windows]
        return self._engine.submit(np.stack([window.faces for window in windows]), np.stack(tokens))

    def _tokens(self, window: FaceWindow) -> np.ndarray:
        return frame_tokens(self._voice, window.start, window.start + len(window.faces), self._fps)


def _faces(submitted: Iterable[Submitted]) -> list[np.ndarray]:
    return [faces for part in submitted for faces in part.faces()]
