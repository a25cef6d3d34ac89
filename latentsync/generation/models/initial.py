"""Random weights, made directly on the device: for measurements and tests without published files."""

from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def initialise(module: Module, device: str | torch.device, dtype: torch.dtype, seed: int = 0) -> Module:
    """Give ``module`` (built on meta) PyTorch's default random weights on ``device``, for inference.

    The same seed gives the same weights on the same kind of device.
    """
    module.to(dtype).to_empty(device=device)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for part in module.modules():
            if callable(reset := getattr(part, "reset_parameters", None)):
                reset()
    return module.to(memory_format=torch.channels_last).eval().requires_grad_(False)
