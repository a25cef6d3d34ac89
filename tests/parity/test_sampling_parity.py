import pytest

from latentsync.engines.diffusion.sampling import denoise

TWENTY = pytest.param(20, 1.5, 1e-3, marks=pytest.mark.slow)


@pytest.mark.parametrize(("steps", "guidance", "tolerance"), [(5, 1.0, 1e-4), (5, 1.5, 1e-4), TWENTY])
@pytest.mark.parametrize("split", [False, True])
def test_latents_equal_the_reference(tiny_unet, unet_golden, steps, guidance, tolerance, split):
    latents = denoise(
        tiny_unet,
        unet_golden["noise"],
        unet_golden["audio"],
        unet_golden["mask"],
        unet_golden["masked_latents"],
        unet_golden["reference_latents"],
        steps=steps,
        guidance_scale=guidance,
        split_guidance=split,
    )
    assert (latents - unet_golden[f"latents_steps{steps}_cfg{guidance}"]).abs().max() <= tolerance
