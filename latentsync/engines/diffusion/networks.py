"""LatentSync's networks on one device: loaded at their first use, shared by all engines that need the same."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from latentsync.engines.diffusion import checkpoints
from latentsync.engines.diffusion.codec import FaceCodec
from latentsync.engines.diffusion.models.unet import UNet
from latentsync.engines.diffusion.random_weights import Size, random_unet, random_vae, random_whisper
from latentsync.engines.diffusion.sampling import UNetCall
from latentsync.engines.diffusion.whisper import load_whisper

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

RECOMPILE_LIMIT = 32  # a graph per workload of the ladder, with and without DeepCache

_kept: dict[torch.device, tuple[object, "Networks"]] = {}  # one set per device: there is no room for two
_keeping = threading.Lock()


@dataclass(frozen=True)
class Place:
    """What networks are made for."""

    resolution_px: int
    device: torch.device
    dtype: torch.dtype
    compile: bool


@dataclass(frozen=True)
class NetworkMakers:
    """Where networks come from."""

    unet: Callable[[torch.device, torch.dtype], UNet]
    vae: Callable[[torch.device, torch.dtype], "AutoencoderKL"]
    whisper: Callable[[torch.device], "WhisperEncoder"]


@dataclass(frozen=True)
class Models:
    """The networks that generate."""

    unet: UNet
    full_unet: UNetCall  # for full batches of full windows: compiled on a GPU
    codec: FaceCodec


class Networks:
    """UNet and VAE (``models``) and whisper's encoder, each loaded by its first use."""

    def __init__(self, place: Place, makers: NetworkMakers) -> None:
        self._place, self._makers = place, makers
        self._loading = threading.Lock()

    @property
    def models(self) -> Models:
        """The networks that generate."""
        with self._loading:
            return self._models

    @property
    def whisper(self) -> "WhisperEncoder":
        """The encoder of the voice."""
        with self._loading:
            return self._whisper

    @property
    def are_loaded(self) -> bool:
        """Whether ``models`` are on the device."""
        return "_models" in self.__dict__

    @cached_property
    def _models(self) -> Models:
        place = self._place
        unet = self._makers.unet(place.device, place.dtype)
        vae = self._makers.vae(place.device, place.dtype)
        compiled = place.compile and place.device.type == "cuda"
        if compiled:
            torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
        full_unet = torch.compile(unet, fullgraph=True, dynamic=False) if compiled else unet
        return Models(unet, full_unet, FaceCodec(vae, place.resolution_px, compiled))

    @cached_property
    def _whisper(self) -> "WhisperEncoder":
        return self._makers.whisper(self._place.device)


def published_networks(weights: Path, place: Place) -> Networks:
    """The networks of a folder of weights (see ``checkpoints``): those already here, if they are the same.

    A device keeps the last ones that were asked for. Raises ``WeightsError`` for missing files or
    another resolution, before anything is loaded.
    """
    checkpoints.require_resolution(weights, place.resolution_px)
    unet, whisper = checkpoints.unet_file(weights), checkpoints.whisper_weights(weights)
    config, vae = checkpoints.unet_config(weights), checkpoints.vae_file(weights / "vae").parent
    makers = NetworkMakers(
        unet=lambda device, dtype: checkpoints.load_unet(unet, config, device=device, dtype=dtype),
        vae=lambda device, dtype: checkpoints.load_vae(vae, device=device, dtype=dtype),
        whisper=lambda device: load_whisper(whisper, device),
    )
    stat = unet.stat()
    identity = (weights.resolve(), stat.st_mtime_ns, stat.st_size, place)
    with _keeping:
        kept, networks = _kept.get(place.device, (None, None))
        if networks is None or kept != identity:
            networks = Networks(place, makers)
            _kept[place.device] = identity, networks
        return networks


def random_networks(size: Size, place: Place) -> Networks:
    """Networks with random weights, for measurements and tests; not kept."""
    return Networks(
        place,
        NetworkMakers(
            unet=lambda device, dtype: random_unet(size, device, dtype),
            vae=lambda device, dtype: random_vae(size, device, dtype),
            whisper=lambda device: random_whisper(size, device),
        ),
    )
