"""Faces to latents and back: the VAE, and the mask of what is kept of a face."""

from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn

from latentsync.engines.diffusion.models.vae import VaeWeights
from latentsync.engines.keep_mask import keep_mask

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

PIXELS_PER_LATENT = 8


class Vae(Protocol):
    """Images (N, R, R, 3) float32 in -1..1 to latents (N, h, w, 4) float32, scaled as for the UNet, and back."""

    def encode(self, pixels: Tensor) -> Tensor:
        """The posterior's mode, which depends on its image alone."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """The picture."""
        ...


class DiffusersVae:
    """diffusers' ``AutoencoderKL`` as a ``Vae``: the readable path."""

    def __init__(self, vae: "AutoencoderKL"):
        self._vae = vae
        self._scale: float = vae.config["scaling_factor"]

    @classmethod
    def of(cls, weights: VaeWeights) -> "DiffusersVae":
        """The same weights in diffusers' class."""
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # takes seconds

        with torch.device("meta"):
            vae = cast(AutoencoderKL, AutoencoderKL.from_config(weights.config))
        nn.Module.load_state_dict(vae, weights.state_dict(), assign=True)
        return cls(vae.eval())

    def encode(self, pixels: Tensor) -> Tensor:
        """See ``Vae``."""
        images = pixels.permute(0, 3, 1, 2).to(self._vae.dtype)  # channels_last without a copy
        moments = cast(nn.Module, self._vae.quant_conv)(self._vae.encoder(images))
        mean, _ = moments.chunk(2, dim=1)  # the other half is the log variance
        return self._scale * mean.float().permute(0, 2, 3, 1)

    def decode(self, latents: Tensor) -> Tensor:
        """See ``Vae``."""
        scaled = (latents / self._scale).permute(0, 3, 1, 2)
        scaled = scaled.to(self._vae.dtype, memory_format=torch.channels_last)
        made = self._vae.decoder(cast(nn.Module, self._vae.post_quant_conv)(scaled))
        return made.float().permute(0, 2, 3, 1)


class FaceCodec:
    """A VAE bound to a resolution. Letters in comments: b windows, f frames, c channels, h w."""

    def __init__(self, vae: Vae, resolution_px: int, device: torch.device):
        self._vae = vae
        mask = torch.from_numpy(keep_mask(resolution_px)).to(device)
        self._mask = mask[..., None]  # h w 1, 1 where the face is kept
        self.latent_mask = mask[None, None, None, ::PIXELS_PER_LATENT, ::PIXELS_PER_LATENT]  # nearest

    @torch.no_grad()
    def encode(self, faces: Tensor, frames_per_call: int) -> tuple[Tensor, Tensor]:
        """Latents of the masked faces and of the faces, (B, 4, F, h, w) each, from (B, F, R, R, 3) uint8."""
        pixels = _pixels(faces)
        images = torch.cat([pixels * self._mask, pixels])
        latents = torch.cat([self._vae.encode(chunk) for chunk in images.split(frames_per_call)])
        windows = latents.unflatten(0, (2, *faces.shape[:2])).permute(0, 1, 5, 2, 3, 4)  # 2 b f h w c -> 2 b c f h w
        return windows[0], windows[1]

    @torch.no_grad()
    def decode(self, latents: Tensor, faces: Tensor, frames_per_call: int) -> Tensor:
        """New faces (B, F, R, R, 3) uint8 from (B, 4, F, h, w), with ``faces`` where the mask keeps them."""
        images = latents.permute(0, 2, 3, 4, 1).flatten(0, 1)  # b c f h w -> (b f) h w c
        made = []
        for chunk, kept in zip(images.split(frames_per_call), _pixels(faces).split(frames_per_call), strict=True):
            blended = self._vae.decode(chunk) * (1 - self._mask) + kept * self._mask
            made.append(((blended + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
        return torch.cat(made).unflatten(0, faces.shape[:2])


def _pixels(faces: Tensor) -> Tensor:
    """(B, F, R, R, 3) uint8 -> (B*F, R, R, 3) float32 in -1..1."""
    return faces.flatten(0, 1).float() / 127.5 - 1
