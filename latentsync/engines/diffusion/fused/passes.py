"""The fused UNet on batches of one shape: inputs in fixed places, so that every kind of pass is one CUDA graph."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from latentsync.engines.diffusion.fused.layers import Map
from latentsync.engines.diffusion.fused.transformers import Voice
from latentsync.engines.diffusion.fused.unet import SAMPLE_CHANNELS, FusedUNet, Step
from latentsync.engines.diffusion.sampling import DeepCache, Guidance

Heard = Literal["both", "voice", "silence"]


class Shape(NamedTuple):
    """Of a batch."""

    windows: int
    frames: int
    high: int
    wide: int
    tokens: int  # per frame


class Kind(NamedTuple):
    """Of a pass."""

    heard: Heard
    branch: int | None  # of DeepCache
    cached: bool  # recompute only what lies outside the branch


class Capture(NamedTuple):
    """Where graphs are captured: torch's own stream for it lies on the first GPU that captures."""

    pool: Any
    stream: torch.cuda.Stream


class Passes:
    """A batch's inputs, the features kept between its steps, and if it may ``capture`` a graph of each kind of pass."""

    def __init__(self, unet: FusedUNet, shape: Shape, capture: Capture | None):
        images, kind = shape.windows * shape.frames, {"device": unet.device, "dtype": unet.dtype}
        self._unet, self._frames, self._images, self._capture = unet, shape.frames, images, capture
        self.sample = torch.zeros(images, shape.high, shape.wide, SAMPLE_CHANNELS, **kind)
        self.kv = torch.empty(images, shape.tokens, unet.voice_channels, **kind)
        self.time = torch.empty(unet.time_channels, device=unet.device)
        self._feature: Map | None = None  # of all images, in silence and with the voice
        self._graphs: dict[Kind, tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    def __call__(self, kind: Kind) -> Tensor:
        """Noise (images or twice as many, h, w, 4); overwritten by the next pass of this kind."""
        if self._capture is None:
            return self._run(kind)
        if kind not in self._graphs:
            self._graphs[kind] = self._captured(kind, self._capture)
        graph, noise = self._graphs[kind]
        graph.replay()
        return noise

    def _captured(self, kind: Kind, capture: Capture) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        self._run(kind)  # builds the kernels, and is short of memory before anything is captured
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, *capture, capture_error_mode="thread_local"):
            noise = self._run(kind)
        return graph, noise

    def _run(self, kind: Kind) -> Tensor:
        half = {"both": slice(None), "silence": slice(self._images), "voice": slice(self._images, None)}[kind.heard]
        voice = Voice(None if kind.heard == "silence" else self.kv, doubled=kind.heard == "both")
        feature = Map(*(part[half] for part in self._feature)) if kind.cached and self._feature else None
        step = Step(self.time, voice, self._frames)
        noise, made = self._unet(self.sample, step, branch=kind.branch, feature=feature)
        if made is not None and feature is None:
            self._keep(made, half)
        return noise

    def _keep(self, made: Map, half: slice) -> None:
        if self._feature is None:
            self._feature = Map(*(part.new_empty(2 * self._images, *part.shape[1:]) for part in made))
        for place, part in zip(self._feature, made, strict=True):
            place[half].copy_(part)


class PassesByShape:
    """The ``Passes`` of a UNet: those of whole windows stay, with their graphs, until they are let go."""

    def __init__(self, unet: FusedUNet, graphed_frames: int):
        self.unet, self._graphed = unet, graphed_frames
        self._stream = torch.cuda.Stream(unet.device) if unet.device.type == "cuda" else None
        self.let_go()

    def let_go(self) -> None:
        """Give the graphs' memory back; a pool ends with its last graph."""
        self._kept: dict[Shape, Passes] = {}
        self._capture = None if self._stream is None else Capture(torch.cuda.graph_pool_handle(), self._stream)

    def build(self, work: Callable[[], object]) -> None:
        """Have the kernels that ``work`` launches built, and nothing kept of what it makes."""
        from latentsync.engines.diffusion.fused.building import build_together  # twins need no Triton

        self._capture = None
        try:
            build_together(work, self.unet.device)
        finally:
            self.let_go()

    def of(self, shape: Shape) -> Passes:
        """Of batches of this shape."""
        if shape.frames != self._graphed:
            return Passes(self.unet, shape, None)
        if shape not in self._kept:
            self._kept[shape] = Passes(self.unet, shape, self._capture)
        return self._kept[shape]


class FusedGuidance:
    """The fused UNet with guidance and DeepCache around it, for one batch; otherwise as ``sampling.GuidedUNet``."""

    def __init__(
        self,
        passes: PassesByShape,
        audio_tokens: Tensor,
        known: Tensor,
        timesteps: Tensor,
        guidance: Guidance,
        deepcache: DeepCache | None,
    ):
        self._windows, _, self._frames, high, wide = known.shape
        self._times, self._guidance, self._deepcache = passes.unet.times(timesteps), guidance, deepcache
        self._passes = passes.of(Shape(self._windows, self._frames, high, wide, audio_tokens.shape[1]))
        self._passes.kv.copy_(passes.unet.listen(audio_tokens))
        self._passes.sample[..., 4 : 4 + known.shape[1]] = _images(known)
        self._silent_kept = False  # whether the last full pass kept the silent half too

    def __call__(self, index: int, latents: Tensor) -> Tensor:
        """(B, 4, F, h, w) at step ``index`` -> noise (B, 4, F, h, w) in float32."""
        self._passes.sample[..., :4] = _images(latents)
        self._passes.time.copy_(self._times[index])
        guided = self._guidance.weighs(index, len(self._times))
        branch = self._deepcache.branch if self._deepcache else None
        cached = self._deepcache is not None and index % self._deepcache.interval != 0
        cached &= self._silent_kept or not guided
        if not cached:
            self._silent_kept = guided
        if not guided:
            return self._windowed(self._passes(Kind("voice", branch, cached)))
        if self._guidance.split:
            halves = [self._passes(Kind(heard, branch, cached)) for heard in ("silence", "voice")]
        else:
            halves = self._passes(Kind("both", branch, cached)).chunk(2)
        silent, voiced = (self._windowed(half) for half in halves)
        return silent + self._guidance.scale * (voiced - silent)

    def _windowed(self, images: Tensor) -> Tensor:
        """b f h w c in one -> b c f h w."""
        return images.unflatten(0, (self._windows, self._frames)).permute(0, 4, 1, 2, 3)


def _images(windows: Tensor) -> Tensor:
    """b c f h w -> (b f) h w c."""
    return windows.permute(0, 2, 3, 4, 1).flatten(0, 1)
