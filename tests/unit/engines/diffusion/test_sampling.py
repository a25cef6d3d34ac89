import numpy as np
import pytest
import torch

from latentsync.engines.diffusion.sampling import ALPHAS_CUMPROD, SCHEDULERS, DeepCache, denoise

WIDTH = 4  # latent pixels
STABLE_DIFFUSION = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}


class Oracle:
    """A UNet stand-in: noise that depends on the sample, the time and the voice; counts its calls."""

    def __init__(self):
        self.calls: list[tuple[int, bool]] = []  # batch, and whether it was a cached pass

    def __call__(self, sample, timestep, tokens, *, branch=None, feature=None):
        self.calls.append((len(sample), feature is not None))
        voice = tokens.mean(dim=(1, 2)).view(len(sample), 1, -1, 1, 1)
        deep = (sample.mean(dim=1, keepdim=True) * (timestep / 1000)).expand(-1, 4, -1, -1, -1)
        deep = deep if feature is None else feature
        noise = 0.5 * sample[:, :4] + 0.2 * deep + voice
        return noise if branch is None else (noise, deep)


def run(unet, batch=1, frames=3, **settings):
    generator = torch.Generator().manual_seed(3)
    shape = (batch, 4, frames, WIDTH, WIDTH)
    return denoise(
        unet,
        torch.randn(1, 4, 1, WIDTH, WIDTH, generator=torch.Generator().manual_seed(1)),
        torch.randn(batch * frames, 5, 2, generator=generator),
        torch.ones(1, 1, 1, WIDTH, WIDTH),
        torch.randn(shape, generator=generator),
        torch.randn(shape, generator=generator),
        **{"steps": 6, "guidance_scale": 1.5, **settings},
    )


@pytest.mark.slow  # the import of diffusers
@pytest.mark.parametrize("steps", [5, 20, 25])
def test_ddim_equals_diffusers(steps):
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    assert_same_path(DDIMScheduler(clip_sample=False, set_alpha_to_one=False, **STABLE_DIFFUSION), "ddim", steps)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [5, 10, 20])
def test_dpm_equals_diffusers(steps):
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    assert_same_path(DPMSolverMultistepScheduler(**STABLE_DIFFUSION), "dpm", steps)


def assert_same_path(theirs, name: str, steps: int) -> None:
    theirs.set_timesteps(steps)
    ours = SCHEDULERS[name](steps)
    assert ours.timesteps == theirs.timesteps.tolist()
    generator = torch.Generator().manual_seed(0)
    sample = expected = torch.randn(1, 4, 8, 8, generator=generator)
    for index, timestep in enumerate(theirs.timesteps):
        noise = torch.randn(sample.shape, generator=generator) * 0.1 + 0.9 * sample.tanh()
        expected = theirs.step(noise, timestep, expected).prev_sample
        sample = ours.step(index, sample, noise)
        torch.testing.assert_close(sample, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow  # the import of diffusers
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_finds_the_picture_of_a_perfect_unet(scheduler):
    picture = torch.randn(1, 4, 3, WIDTH, WIDTH, generator=torch.Generator().manual_seed(7))

    def unet(sample, timestep, tokens):
        kept = torch.tensor(np.interp(float(timestep), range(1000), ALPHAS_CUMPROD))
        return ((sample[:, :4] - kept.sqrt() * picture) / (1 - kept).sqrt()).float()

    found = run(unet, guidance_scale=1.0, scheduler=scheduler)
    assert (found - picture).norm() / picture.norm() < 0.04  # ddim and deis end where 3 % of the noise is left


def test_guidance_of_one_is_a_single_pass():
    oracle = Oracle()
    run(oracle, guidance_scale=1.0)
    assert oracle.calls == [(1, False)] * 6


def test_guidance_pushes_away_from_silence():
    silent, voiced = (run(Oracle(), steps=1, guidance_scale=scale) for scale in (1.0, 3.0))
    assert not torch.allclose(silent, voiced)


def test_split_guidance_gives_the_same_with_half_the_batch():
    together, apart = Oracle(), Oracle()
    torch.testing.assert_close(run(together), run(apart, split_guidance=True))
    assert {batch for batch, _ in together.calls} == {2}
    assert [batch for batch, _ in apart.calls] == [1] * 12


@pytest.mark.parametrize("split", [False, True])
def test_deepcache_runs_a_full_pass_every_interval(split):
    oracle = Oracle()
    run(oracle, deepcache=DeepCache(interval=3), split_guidance=split)
    assert [cached for _, cached in oracle.calls[:: 1 + split]] == [False, True, True] * 2


def test_deepcache_of_interval_one_changes_nothing():
    assert torch.equal(run(Oracle()), run(Oracle(), deepcache=DeepCache(interval=1)))


@pytest.mark.parametrize("scheduler", ["ddim", "dpm"])
def test_a_batch_of_windows_equals_its_windows(scheduler):
    batch, frames = 3, 2
    whole = run(Oracle(), batch, frames, scheduler=scheduler)
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randn(batch * frames, 5, 2, generator=generator)
    masked, reference = (torch.randn(batch, 4, frames, WIDTH, WIDTH, generator=generator) for _ in range(2))
    noise = torch.randn(1, 4, 1, WIDTH, WIDTH, generator=torch.Generator().manual_seed(1))
    for index in range(batch):
        alone = denoise(
            Oracle(),
            noise,
            tokens[index * frames : (index + 1) * frames],
            torch.ones(1, 1, 1, WIDTH, WIDTH),
            masked[index : index + 1],
            reference[index : index + 1],
            steps=6,
            guidance_scale=1.5,
            scheduler=scheduler,
        )
        torch.testing.assert_close(alone[0], whole[index])
