"""The fused networks on their twins against the readable ones."""

import pytest
import torch

from latentsync.engines.diffusion import fused
from latentsync.engines.diffusion.codec import DiffusersVae
from latentsync.engines.diffusion.engine import PRELOAD_STEPS
from latentsync.engines.diffusion.fused import twins
from latentsync.engines.diffusion.fused.passes import FusedGuidance, Kind, Passes, PassesByShape
from latentsync.engines.diffusion.fused.unet import FusedUNet
from latentsync.engines.diffusion.fused.vae import FusedVae
from latentsync.engines.diffusion.models.unet import UNet
from latentsync.engines.diffusion.random_weights import random_unet, random_vae
from latentsync.engines.diffusion.sampling import DeepCache, denoise
from latentsync.engines.diffusion.spec import QUALITIES, LatentSyncSettings

torch.set_num_threads(1)  # small tensors: more threads only wait for each other
WINDOWS, FRAMES, SIZE, STEPS = 2, 3, 8, 6
WAYS = {
    "guided": {},
    "split": {"split_guidance": True},
    "alone": {"guidance_scale": 1.0},
    "cached": {"deepcache": DeepCache(3, 0)},
    "guided in the middle, cached deeper": {"deepcache": DeepCache(3, 2), "guidance_steps": (0.3, 0.6)},
    "the same, split": {"deepcache": DeepCache(3, 2), "guidance_steps": (0.3, 0.6), "split_guidance": True},
    "guided at first, cached": {"deepcache": DeepCache(3, 0), "guidance_steps": (0.0, 0.6)},
}


@pytest.fixture(scope="module")
def unet() -> UNet:
    return random_unet("tiny")


def inputs() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    latents = WINDOWS, 4, FRAMES, SIZE, SIZE
    mask = numbers(1, 1, 1, SIZE, SIZE)
    return numbers(1, 4, 1, SIZE, SIZE), numbers(WINDOWS * FRAMES, 50, 32), mask, numbers(*latents), numbers(*latents)


@pytest.mark.parametrize("way", WAYS)
def test_latents_are_those_of_the_readable_network(unet, way):
    settings = {"steps": STEPS, "guidance_scale": 1.5, **WAYS[way]}
    expected = denoise(unet, *inputs(), **settings)
    passes = PassesByShape(FusedUNet(unet, twins), FRAMES)
    made = denoise(passes, *inputs(), **settings, predictor=FusedGuidance)
    again = denoise(passes, *inputs(), **settings, predictor=FusedGuidance)
    assert (made - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert torch.equal(made, again)  # nothing of the batch before is left


@pytest.mark.parametrize("quality", QUALITIES)
def test_preloading_builds_each_kind_of_pass_that_its_quality_needs(unet, monkeypatch, quality):
    settings = LatentSyncSettings.model_validate({"quality": quality})
    run = Passes.__call__

    def kinds(steps: int) -> set[Kind]:
        seen: set[Kind] = set()
        monkeypatch.setattr(Passes, "__call__", lambda self, kind: (seen.add(kind), run(self, kind))[1])
        denoise(
            PassesByShape(FusedUNet(unet, twins), FRAMES),
            *inputs(),
            steps=steps,
            guidance_scale=settings.guidance_scale,
            guidance_steps=(settings.guidance_start, settings.guidance_end),
            scheduler=settings.scheduler,
            deepcache=DeepCache(settings.deepcache) if settings.deepcache else None,
            predictor=FusedGuidance,
        )
        return seen

    assert kinds(PRELOAD_STEPS) == kinds(settings.steps)


def test_guidance_in_an_interval_differs_from_both_ends(unet):
    made = [
        denoise(unet, *inputs(), steps=STEPS, guidance_scale=1.5, guidance_steps=steps)
        for steps in ((0.0, 1.0), (0.0, 0.5), (0.0, 0.0))
    ]
    assert not torch.allclose(made[0], made[1])
    assert not torch.allclose(made[1], made[2])
    assert torch.equal(made[2], denoise(unet, *inputs(), steps=STEPS, guidance_scale=1.0))


@pytest.mark.slow  # the import of diffusers
def test_the_vae_is_that_of_diffusers():
    weights = random_vae("tiny")
    readable, packed = DiffusersVae.of(weights), FusedVae(weights, twins)
    generator = torch.Generator().manual_seed(2)
    pixels = torch.rand(2, 32, 32, 3, generator=generator) * 2 - 1
    latents = torch.randn(2, 4, 4, 4, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(packed.encode(pixels), readable.encode(pixels), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(packed.decode(latents), readable.decode(latents), atol=2e-5, rtol=1e-4)


def test_what_cannot_run_fused_says_why():
    assert "cpu" in fused.refusal(torch.device("cpu"), torch.float16)
    assert "float32" in fused.refusal(torch.device("cuda"), torch.float32)
