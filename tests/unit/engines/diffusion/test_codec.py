import numpy as np
import pytest
import torch

from latentsync.engines.diffusion.codec import DiffusersVae, FaceCodec, keep_mask
from latentsync.engines.diffusion.random_weights import random_vae

pytestmark = pytest.mark.slow  # the import of diffusers
SIZE = 64


@pytest.fixture(scope="module")
def codec() -> FaceCodec:
    return FaceCodec(DiffusersVae.of(random_vae("tiny")), SIZE, torch.device("cpu"))


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 5, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)


def test_latents_are_those_of_diffusers(codec, faces):
    vae = DiffusersVae.of(random_vae("tiny"))._vae
    masked, reference = codec.encode(faces, frames_per_call=4)
    pixels = faces[1, 2].permute(2, 0, 1)[None] / 127.5 - 1
    mask = torch.from_numpy(keep_mask(SIZE))
    with torch.no_grad():
        for latents, image in ((reference, pixels), (masked, pixels * mask)):
            expected = 0.18215 * vae.encode(image).latent_dist.mode()
            torch.testing.assert_close(latents[1, :, 2], expected[0], atol=1e-5, rtol=1e-4)
    assert masked.shape == (2, 4, 5, SIZE // 8, SIZE // 8)


def test_kept_pixels_come_back_bit_for_bit_and_the_mouth_is_made(codec, faces):
    latents = torch.randn(2, 4, 5, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(1))
    made = codec.decode(latents, faces, frames_per_call=4)
    kept = torch.from_numpy(np.abs(keep_mask(SIZE) - 1) < 1e-6)
    assert made.shape == faces.shape
    assert torch.equal(made[:, :, kept], faces[:, :, kept])
    changed = (made != faces).any(-1).float().mean()
    assert 0.2 < changed < 0.8


def test_a_frame_does_not_depend_on_the_frames_beside_it(codec, faces):
    masked, _ = codec.encode(faces, frames_per_call=5)
    alone, _ = codec.encode(faces[1:, 3:4], frames_per_call=1)
    torch.testing.assert_close(masked[1, :, 3], alone[0, :, 0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [256, 512])
def test_mask_generates_the_lower_face(size):
    mask = keep_mask(size)
    half = size // 2
    assert mask.shape == (size, size)
    assert mask[: half // 2].min() == pytest.approx(1, abs=1e-5)
    assert np.abs(mask[int(0.6 * size) : int(0.8 * size), half]).max() < 1e-5
    if size == 512:
        assert mask.max() > 1.01  # Lanczos overshoots: the reference's mask does, too
