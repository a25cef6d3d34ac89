"""Golden tensors of the reference implementation (fp32, CPU); README.md says what each file holds."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from latentsync.engines.diffusion.checkpoints import load_unet
from latentsync.engines.diffusion.models.unet import UNet

HERE = Path(__file__).parent
torch.set_num_threads(1)  # small tensors: more threads only wait for each other


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    return HERE


@pytest.fixture(scope="session")
def unet_golden() -> dict[str, torch.Tensor]:
    return load_file(HERE / "unet_tiny_io.safetensors")


@pytest.fixture(scope="session")
def tiny_unet() -> UNet:
    return load_unet(HERE / "unet_tiny.safetensors", HERE / "unet_tiny.config.json")
