"""LatentSync's networks on one device: loaded at their first use, shared by all engines that need the same."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from latentsync.engines.diffusion import checkpoints, fused
from latentsync.engines.diffusion.codec import DiffusersVae, FaceCodec
from latentsync.engines.diffusion.converted import quickest_file
from latentsync.engines.diffusion.models.unet import UNet, UNetConfig
from latentsync.engines.diffusion.models.vae import VaeWeights
from latentsync.engines.diffusion.models.whisper import WhisperEncoder
from latentsync.engines.diffusion.random_weights import Size, random_unet, random_vae, random_whisper
from latentsync.engines.diffusion.sampling import GuidedUNet, Predictor
from latentsync.engines.diffusion.whisper import TransformersWhisper, load_whisper

log = logging.getLogger(__name__)

_kept: dict[torch.device, tuple[object, "Networks"]] = {}  # one set per device: there is no room for two
_keeping = threading.Lock()


@dataclass(frozen=True)
class Place:
    """What networks are made for."""

    resolution_px: int
    device: torch.device
    dtype: torch.dtype
    fused: bool  # where the device can


@dataclass(frozen=True)
class NetworkMakers:
    """Where networks come from."""

    unet: Callable[[torch.device, torch.dtype], UNet]
    vae: Callable[[torch.device, torch.dtype], VaeWeights]
    whisper: Callable[[torch.device], WhisperEncoder]


@dataclass(frozen=True)
class Models:
    """The networks that generate."""

    config: UNetConfig
    unet: Any  # what ``predictor`` takes
    predictor: Callable[..., Predictor]
    codec: FaceCodec
    free: Callable[[], object] = lambda: None  # gives back memory that only saves time
    build: Callable[[Callable[[], object]], None] = lambda work: None  # the kernels that ``work`` launches


class Networks:
    """UNet and VAE (``models``) and whisper's encoder, each loaded by its first use."""

    def __init__(self, place: Place, makers: NetworkMakers) -> None:
        self._place, self._makers = place, makers
        self._loading, self._loading_whisper = threading.Lock(), threading.Lock()  # side by side: imports take seconds
        self.turn = threading.Lock()  # of those who generate with them

    @property
    def models(self) -> Models:
        """The networks that generate."""
        with self._loading:
            return self._models

    @property
    def whisper(self) -> WhisperEncoder | TransformersWhisper:
        """The encoder of the voice."""
        with self._loading_whisper:
            return self._whisper

    @property
    def are_loaded(self) -> bool:
        """Whether ``models`` are on the device."""
        return "_models" in self.__dict__

    @cached_property
    def _models(self) -> Models:
        place = self._place
        unet, vae = self._makers.unet(place.device, place.dtype), self._makers.vae(place.device, place.dtype)
        codec = partial(FaceCodec, resolution_px=place.resolution_px, device=place.device)
        if reason := self._not_fused:
            log.info("the readable networks generate, not the fused ones: %s", reason)
            return Models(unet.config, unet, GuidedUNet, codec(DiffusersVae.of(vae)))
        passes, fused_vae, predictor = fused.pack(unet, vae)
        log.info("the fused networks generate, in %s", place.dtype)
        return Models(unet.config, passes, predictor, codec(fused_vae), passes.let_go, passes.build)

    @cached_property
    def _whisper(self) -> WhisperEncoder | TransformersWhisper:
        own = self._makers.whisper(self._place.device)
        return TransformersWhisper.of(own) if self._not_fused else own

    @property
    def _not_fused(self) -> str:
        """Why the readable networks are used; empty: the fused ones are."""
        place = self._place
        return fused.refusal(place.device, place.dtype) if place.fused else "it is switched off"


def published_networks(weights: Path, place: Place) -> Networks:
    """The networks of a folder of weights (see ``checkpoints``): those already here, if they are the same.

    Raises ``WeightsError`` for missing files or another resolution, before anything is loaded.
    """
    checkpoints.require_resolution(weights, place.resolution_px)
    unet, whisper = checkpoints.unet_file(weights), checkpoints.whisper_weights(weights)
    config, vae = checkpoints.unet_config(weights), checkpoints.vae_file(weights / "vae").parent
    makers = NetworkMakers(
        unet=lambda device, dtype: checkpoints.load_unet(
            quickest_file(unet, dtype), config, device=device, dtype=dtype
        ),
        vae=lambda device, dtype: checkpoints.load_vae(vae, device=device, dtype=dtype),
        whisper=lambda device: load_whisper(whisper, device),
    )
    stat = unet.stat()
    return _kept_networks((weights.resolve(), stat.st_mtime_ns, stat.st_size), place, makers)


def random_networks(size: Size, place: Place) -> Networks:
    """Networks with random weights, for measurements and tests."""
    makers = NetworkMakers(
        unet=lambda device, dtype: random_unet(size, device, dtype),
        vae=lambda device, dtype: random_vae(size, device, dtype),
        whisper=lambda device: random_whisper(size, device),
    )
    return _kept_networks(size, place, makers)


def _kept_networks(identity: object, place: Place, makers: NetworkMakers) -> Networks:
    """Those of this identity and place; a device keeps the last ones that were asked for."""
    with _keeping:
        kept, networks = _kept.get(place.device, (None, None))
        if networks is None or kept != (identity, place):
            networks = Networks(place, makers)
            _kept[place.device] = (identity, place), networks
        return networks
