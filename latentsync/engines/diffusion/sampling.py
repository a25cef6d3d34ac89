"""From noise to latents: the noise schedules, guidance and DeepCache.

Both schedules predict noise (epsilon) on Stable Diffusion's 1,000 training steps.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor

TRAIN_STEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012  # "scaled linear": linear in sqrt(beta)
STEPS_OFFSET = 1  # Stable Diffusion never asks for timestep 0

_BETAS = np.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_STEPS) ** 2
ALPHAS_CUMPROD: np.ndarray = np.cumprod(1 - _BETAS)

UNetCall = Callable[..., "Tensor | tuple[Tensor, Tensor]"]  # models.unet.UNet


class DeepCache(NamedTuple):
    """Reuse of inner features between steps (Ma et al., arXiv 2312.00858)."""

    interval: int = 3  # every interval-th step is a full pass; 1: all
    branch: int = 0  # outermost skip connections recomputed besides skip 0


class Guidance(NamedTuple):
    """Where the voice is weighed against silence (Ho and Salimans, arXiv 2207.12598)."""

    scale: float  # weight of the voice; 1 or less: a single pass
    start: float = 0.0  # share of the steps before guidance sets in (Kynkaanniemi et al., arXiv 2404.07724)
    end: float = 1.0  # share of the steps after which it ends
    split: bool = False  # the passes without and with voice one after the other: half the memory

    def weighs(self, index: int, steps: int) -> bool:
        """Whether step ``index`` of ``steps`` is guided."""
        return self.scale > 1 and round(self.start * steps) <= index < round(self.end * steps)


class Predictor(Protocol):
    """A UNet bound to one batch of windows."""

    def __call__(self, index: int, latents: Tensor) -> Tensor:
        """Latents (B, 4, F, h, w) at step ``index`` -> their noise, float32; call in order of ``index``."""
        ...


class _Unscaled:
    """A schedule whose samples are what the UNet sees."""

    def begin(self, noise: Tensor) -> Tensor:
        """The first sample, from noise of deviation 1."""
        return noise

    def seen(self, index: int, sample: Tensor) -> Tensor:
        """What the UNet sees of the sample at step ``index``."""
        return sample


class DDIM(_Unscaled):
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


class DPMSolver(_Unscaled):
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


class DiffusersSchedule:
    """One of diffusers' own schedulers; its import takes seconds, and some of its steps wait for the GPU."""

    def __init__(self, class_name: str, steps: int):
        import diffusers

        given = {"beta_start": BETA_START, "beta_end": BETA_END, "beta_schedule": "scaled_linear"}
        given |= {"num_train_timesteps": TRAIN_STEPS, "steps_offset": STEPS_OFFSET, "timestep_spacing": "leading"}
        self._scheduler = getattr(diffusers, class_name).from_config(given)
        self._scheduler.set_timesteps(steps)
        self.timesteps: list[float] = self._scheduler.timesteps.tolist()  # some take two for a step

    def begin(self, noise: Tensor) -> Tensor:
        """The first sample, from noise of deviation 1."""
        return noise * self._scheduler.init_noise_sigma

    def seen(self, index: int, sample: Tensor) -> Tensor:
        """What the UNet sees of the sample at step ``index``."""
        return self._scheduler.scale_model_input(sample, self._scheduler.timesteps[index])

    def step(self, index: int, sample: Tensor, noise: Tensor) -> Tensor:
        """One step towards the picture; call in order of ``index``, after ``seen``."""
        return self._scheduler.step(noise, self._scheduler.timesteps[index], sample).prev_sample


Schedule = DDIM | DPMSolver | DiffusersSchedule
SCHEDULERS: dict[str, Callable[[int], Schedule]] = {
    "ddim": DDIM,
    "dpm": DPMSolver,
    "euler": partial(DiffusersSchedule, "EulerDiscreteScheduler"),
    "heun": partial(DiffusersSchedule, "HeunDiscreteScheduler"),
    "unipc": partial(DiffusersSchedule, "UniPCMultistepScheduler"),
    "deis": partial(DiffusersSchedule, "DEISMultistepScheduler"),
}


@torch.no_grad()
def denoise(
    unet: Any,
    noise: Tensor,
    audio_tokens: Tensor,
    keep_mask: Tensor,
    masked_latents: Tensor,
    reference_latents: Tensor,
    *,
    steps: int,
    guidance_scale: float,
    guidance_steps: tuple[float, float] = (0.0, 1.0),
    scheduler: str = "ddim",
    deepcache: DeepCache | None = None,
    split_guidance: bool = False,
    predictor: Callable[..., Predictor] | None = None,
) -> Tensor:
    """Make the latents of B windows of F frames.

    Args:
        unet: what ``predictor`` takes.
        noise: (1 or B, 4, 1 or F, h, w); what is 1 is repeated.
        audio_tokens: (B*F, T, C); their dtype is the one the UNet computes in.
        keep_mask: (1 or B, 1, 1 or F, h, w), 1 where the picture is kept.
        masked_latents: (B, 4, F, h, w) of the faces times the mask.
        reference_latents: (B, 4, F, h, w) of the faces.
        steps: UNet evaluations per window.
        guidance_scale: weight of the voice; 1 or less: a single pass without guidance.
        guidance_steps: the shares of the steps before it sets in and after which it ends.
        scheduler: a key of ``SCHEDULERS``.
        deepcache: reuse inner features between steps.
        split_guidance: run the passes without and with voice one after the other: half the memory.
        predictor: binds ``unet`` to the batch; ``GuidedUNet`` unless told otherwise.

    Returns:
        latents (B, 4, F, h, w) in float32.
    """
    batch, _, frames, *size = masked_latents.shape
    mask = keep_mask.expand(batch, -1, frames, -1, -1)
    known = torch.cat([mask, masked_latents, reference_latents], dim=1).to(audio_tokens.dtype)
    schedule = SCHEDULERS[scheduler](steps)
    latents = schedule.begin(noise.float().expand(batch, -1, frames, *size))
    timesteps = on_device(torch.tensor(schedule.timesteps), latents.device)
    guidance = Guidance(guidance_scale, *guidance_steps, split=split_guidance)
    predict = (predictor or GuidedUNet)(unet, audio_tokens, known, timesteps, guidance, deepcache)
    for index in range(len(schedule.timesteps)):
        latents = schedule.step(index, latents, predict(index, schedule.seen(index, latents)))
    return latents


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy of a CPU tensor; a GPU fetches it by itself, when its turn comes."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class GuidedUNet:
    """The readable UNet with guidance and DeepCache around it, for one batch."""

    def __init__(
        self,
        unet: UNetCall,
        audio_tokens: Tensor,
        known: Tensor,
        timesteps: Tensor,
        guidance: Guidance,
        deepcache: DeepCache | None,
    ):
        self._unet, self._known, self._timesteps = unet, known, timesteps
        self._guidance, self._deepcache = guidance, deepcache
        silence = torch.zeros_like(audio_tokens)
        apart = [silence, audio_tokens]
        self._guided = apart if guidance.split else [torch.cat(apart)]  # tokens of each UNet call of a step
        self._voiced = [audio_tokens]
        self._features: Tensor | None = None  # of all windows, without and with voice if that pass was guided
        self._kept_windows = 0

    def __call__(self, index: int, latents: Tensor) -> Tensor:
        """(B, 4, F, h, w) at step ``index`` -> noise (B, 4, F, h, w) in float32."""
        sample = torch.cat([latents.to(self._known.dtype), self._known], dim=1)
        if not self._guidance.weighs(index, len(self._timesteps)):
            return self._predict(index, sample, self._voiced)
        silent, voiced = self._predict(index, torch.cat([sample, sample]), self._guided).chunk(2)
        return silent + self._guidance.scale * (voiced - silent)

    def _predict(self, index: int, sample: Tensor, passes: list[Tensor]) -> Tensor:
        """Run ``passes`` on their parts of ``sample``."""
        samples, timestep = sample.chunk(len(passes)), self._timesteps[index]
        if self._deepcache is None:
            made = [self._unet(given, timestep, tokens) for given, tokens in zip(samples, passes, strict=True)]
            return torch.cat(cast(list[Tensor], made)).float()
        if index % self._deepcache.interval == 0 or self._kept_windows < len(sample):
            features = [None] * len(passes)
        else:
            kept = cast(Tensor, self._features)
            features = kept[-len(kept) * len(sample) // self._kept_windows :].chunk(len(passes))  # the voiced come last
        noises, made = [], []
        for part, tokens, feature in zip(samples, passes, features, strict=True):
            noise, kept = self._unet(part, timestep, tokens, branch=self._deepcache.branch, feature=feature)
            noises.append(noise)
            made.append(kept)
        if features[0] is None:
            self._features, self._kept_windows = torch.cat(made), len(sample)
        return torch.cat(noises).float()
