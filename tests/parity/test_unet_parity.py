import pytest
import torch

from latentsync.engines.diffusion.models.unet import UNet, UNetConfig


@pytest.mark.parametrize(("frames", "timestep"), [(16, 981), (16, 1), (5, 501)])
def test_forward_equals_the_reference(tiny_unet, unet_golden, frames, timestep):
    case = f"f{frames}_t{timestep}"
    with torch.inference_mode():
        noise = tiny_unet(unet_golden[f"sample_{case}"], timestep, unet_golden[f"audio_{case}"])
    assert (noise - unet_golden[f"out_{case}"]).abs().max() <= 1e-4


def test_full_size_has_exactly_the_published_tensors(golden_folder):
    with torch.device("meta"):
        unet = UNet(UNetConfig())
    own = {name: "x".join(map(str, tensor.shape)) for name, tensor in unet.state_dict().items()}
    lines = (golden_folder / "unet_stage2_512.keys.txt").read_text().splitlines()
    assert own == dict(line.split() for line in lines)
    assert len(own) == 1246
    assert sum(parameter.numel() for parameter in unet.parameters()) == 1_267_099_844
