"""Faces to latents and back: the VAE, and the mask of what is kept of a face."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from latentsync.engines.keep_mask import keep_mask

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

PIXELS_PER_LATENT = 8


class FaceCodec:
    """A VAE bound to a resolution. Letters in comments: b windows, f frames, c channels, h w."""

    def __init__(self, vae: "AutoencoderKL", resolution_px: int, compiled: bool):
        self._vae, self._dtype = vae, vae.dtype
        self._scale: float = vae.config["scaling_factor"]
        mask = torch.from_numpy(keep_mask(resolution_px)).to(vae.device)
        self._mask = mask[None, None]  # 1 1 h w, 1 where the face is kept
        self.latent_mask = self._mask[None, ..., ::PIXELS_PER_LATENT, ::PIXELS_PER_LATENT]  # nearest
        self._full_encode = _compiled(self._encode) if compiled else self._encode
        self._full_decode = _compiled(self._decode) if compiled else self._decode

    @torch.no_grad()
    def encode(self, faces: Tensor, frames_per_call: int) -> tuple[Tensor, Tensor]:
        """Latents of the masked faces and of the faces, (B, 4, F, h, w) each.

        ``faces`` are (B, F, R, R, 3) uint8. A latent is the posterior's mode: it depends on its frame alone.
        """
        pixels = _pixels(faces)
        latents = []
        for mask in (self._mask, 1.0):
            chunks = ((chunk * mask).to(self._dtype) for chunk in pixels.split(frames_per_call))
            means = [self._call(self._encode, self._full_encode, chunk, frames_per_call) for chunk in chunks]
            latents.append(self._scale * torch.cat(means).float())
        masked, reference = (
            part.unflatten(0, faces.shape[:2]).transpose(1, 2)  # (b f) c h w -> b c f h w
            for part in latents
        )
        return masked, reference

    @torch.no_grad()
    def decode(self, latents: Tensor, faces: Tensor, frames_per_call: int) -> Tensor:
        """New faces (B, F, R, R, 3) uint8 from (B, 4, F, h, w), with ``faces`` where the mask keeps them."""
        scaled = latents.transpose(1, 2).flatten(0, 1) / self._scale  # b c f h w -> (b f) c h w
        scaled = scaled.to(self._dtype, memory_format=torch.channels_last)
        made = []
        for chunk, kept in zip(scaled.split(frames_per_call), _pixels(faces).split(frames_per_call), strict=True):
            new = self._call(self._decode, self._full_decode, chunk, frames_per_call).float()
            blended = new * (1 - self._mask) + kept * self._mask
            made.append(((blended + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
        return torch.cat(made).permute(0, 2, 3, 1).unflatten(0, faces.shape[:2])

    def _call(
        self,
        call: Callable[[Tensor], Tensor],
        full_call: Callable[[Tensor], Tensor],
        chunk: Tensor,
        frames_per_call: int,
    ) -> Tensor:
        """Compiled for chunks of the usual length only: another length would be compiled anew."""
        return (full_call if len(chunk) == frames_per_call else call)(chunk)

    def _encode(self, images: Tensor) -> Tensor:
        """(N, 3, R, R) -> the posterior's mean (N, 4, h, w)."""
        moments = cast(nn.Module, self._vae.quant_conv)(self._vae.encoder(images))
        return moments.chunk(2, dim=1)[0]  # mean; the other half is the log variance

    def _decode(self, latents: Tensor) -> Tensor:
        """(N, 4, h, w) -> (N, 3, R, R)."""
        return self._vae.decoder(cast(nn.Module, self._vae.post_quant_conv)(latents))


def _pixels(faces: Tensor) -> Tensor:
    """(B, F, R, R, 3) uint8 -> (B*F, 3, R, R) float32 in -1..1, channels_last without a copy."""
    return faces.flatten(0, 1).permute(0, 3, 1, 2).float() / 127.5 - 1


def _compiled(call: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return torch.compile(call, fullgraph=True, dynamic=False)
