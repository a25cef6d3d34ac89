"""From noise to latents: the noise schedules, guidance and DeepCache.

Both schedules predict noise (epsilon) on Stable Diffusion's 1,000 training steps.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

TRAIN_STEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012  # "scaled linear": linear in sqrt(beta)
STEPS_OFFSET = 1  # Stable Diffusion never asks for timestep 0

_BETAS = np.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_STEPS) ** 2
ALPHAS_CUMPROD: np.ndarray = np.cumprod(1 - _BETAS)

UNetCall = Callable[..., "Tensor | tuple[Tensor, Tensor]"]  # generation.models.unet.UNet, or it compiled


class DeepCache(NamedTuple):
    """Reuse of inner features between steps (Ma et al., arXiv 2312.00858)."""

    interval: int = 3  # every interval-th step is a full pass; 1: all
    branch: int = 0  # outermost skip connections recomputed besides skip 0


class DDIM:
    """Deterministic DDIM, eta 0 (Song et al., arXiv 2010.02502, eq. 12)."""

    def __init__(self, steps: int):
        self._stride = TRAIN_STEPS // steps
        self.timesteps = [index * self._stride + STEPS_OFFSET for index in reversed(range(steps))]

    def step(self, index: int, sample: Tensor, noise: Tensor) -> Tensor:
        """One step towards the picture: the sample at the next timestep."""
        timestep = self.timesteps[index]
        before = ALPHAS_CUMPROD[timestep]
        after = ALPHAS_CUMPROD[max(timestep - self._stride, 0)]
        picture = (sample - math.sqrt(1 - before) * noise) / math.sqrt(before)
        return math.sqrt(after) * picture + math.sqrt(1 - after) * noise


class DPMSolver:
    """DPM-Solver++(2M), midpoint form, first order at the ends (Lu et al., arXiv 2211.01095, alg. 2)."""

    def __init__(self, steps: int):
        stride = TRAIN_STEPS // (steps + 1)
        self.timesteps = [index * stride + STEPS_OFFSET for index in range(steps, 0, -1)]
        self._last_picture: Tensor | None = None

    def step(self, index: int, sample: Tensor, noise: Tensor) -> Tensor:
        """One step towards the picture; call in order of ``index``."""
        alpha, sigma, log_snr = self._at(index)
        picture = (sample - sigma * noise) / alpha
        if index == len(self.timesteps) - 1:
            return picture
        next_alpha, next_sigma, next_log_snr = self._at(index + 1)
        width = next_log_snr - log_snr
        direction = picture
        if self._last_picture is not None:
            ratio = (log_snr - self._at(index - 1)[2]) / width
            direction = picture + (picture - self._last_picture) / (2 * ratio)
        self._last_picture = picture
        return next_sigma / sigma * sample - next_alpha * math.expm1(-width) * direction

    def _at(self, index: int) -> tuple[float, float, float]:
        kept = ALPHAS_CUMPROD[self.timesteps[index]]
        alpha, sigma = math.sqrt(kept), math.sqrt(1 - kept)
        return alpha, sigma, math.log(alpha / sigma)


SCHEDULERS: dict[str, type[DDIM] | type[DPMSolver]] = {"ddim": DDIM, "dpm": DPMSolver}


@torch.no_grad()
def denoise(
    unet: UNetCall,
    noise: Tensor,
    audio_tokens: Tensor,
    keep_mask: Tensor,
    masked_latents: Tensor,
    reference_latents: Tensor,
    *,
    steps: int,
    guidance_scale: float,
    scheduler: str = "ddim",
    deepcache: DeepCache | None = None,
    split_guidance: bool = False,
) -> Tensor:
    """Make the latents of B windows of F frames.

    Args:
        unet: called with (B', 13, F, h, w), a timestep and (B'*F, T, C) tokens.
        noise: (1 or B, 4, 1 or F, h, w); what is 1 is repeated.
        audio_tokens: (B*F, T, C); their dtype is the one the UNet computes in.
        keep_mask: (1 or B, 1, 1 or F, h, w), 1 where the picture is kept.
        masked_latents: (B, 4, F, h, w) of the faces times the mask.
        reference_latents: (B, 4, F, h, w) of the faces.
        steps: UNet evaluations per window.
        guidance_scale: weight of the voice; 1 or less: a single pass without guidance.
        scheduler: a key of ``SCHEDULERS``.
        deepcache: reuse inner features between steps.
        split_guidance: run the passes without and with voice one after the other: half the memory.

    Returns:
        latents (B, 4, F, h, w) in float32.
    """
    batch, _, frames, *size = masked_latents.shape
    mask = keep_mask.expand(batch, -1, frames, -1, -1)
    known = torch.cat([mask, masked_latents, reference_latents], dim=1).to(audio_tokens.dtype)
    latents = noise.float().expand(batch, -1, frames, *size)
    schedule = SCHEDULERS[scheduler](steps)
    timesteps = torch.tensor(schedule.timesteps, device=latents.device)
    predict = _GuidedUNet(unet, audio_tokens, guidance_scale, split_guidance, deepcache)
    for index in range(steps):
        sample = torch.cat([latents.to(known.dtype), known], dim=1)
        latents = schedule.step(index, latents, predict(index, sample, timesteps[index]))
    return latents


class _GuidedUNet:
    """The UNet with guidance (Ho and Salimans, arXiv 2207.12598) and DeepCache around it."""

    def __init__(
        self,
        unet: UNetCall,
        audio_tokens: Tensor,
        guidance_scale: float,
        split: bool,
        deepcache: DeepCache | None,
    ):
        self._unet, self._scale, self._deepcache = unet, guidance_scale, deepcache
        self._passes = [audio_tokens]  # tokens of each UNet call of a step
        if guidance_scale > 1:
            silence = torch.zeros_like(audio_tokens)
            self._passes = [silence, audio_tokens] if split else [torch.cat([silence, audio_tokens])]
        self._features: list[Tensor | None] = [None] * len(self._passes)

    def __call__(self, index: int, sample: Tensor, timestep: Tensor) -> Tensor:
        """(B, 13, F, h, w) at step ``index`` -> noise (B, 4, F, h, w) in float32."""
        stacked = self._scale > 1 and len(self._passes) == 1
        sample = torch.cat([sample, sample]) if stacked else sample
        predict = self._plain if self._deepcache is None else self._cached
        noise = torch.cat([predict(number, index, sample, timestep) for number in range(len(self._passes))])
        if self._scale <= 1:
            return noise.float()
        silent, voiced = noise.float().chunk(2)
        return silent + self._scale * (voiced - silent)

    def _plain(self, number: int, _index: int, sample: Tensor, timestep: Tensor) -> Tensor:
        return cast(Tensor, self._unet(sample, timestep, self._passes[number]))

    def _cached(self, number: int, index: int, sample: Tensor, timestep: Tensor) -> Tensor:
        interval, branch = cast(DeepCache, self._deepcache)
        feature = self._features[number] if index % interval else None
        noise, kept = self._unet(sample, timestep, self._passes[number], branch=branch, feature=feature)
        self._features[number] = kept if feature is None else feature
        return noise
