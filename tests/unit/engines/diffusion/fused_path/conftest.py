"""What Triton's interpreter lacks on a machine without a GPU."""

import pytest
import torch
import triton
import triton.language as tl
from triton.runtime import interpreter

from latentsync.engines.diffusion.fused import geglu_kernels


@triton.jit
def _tanh(x):
    return 1 - 2 / (1 + tl.exp(2 * x))


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """numpy 2.4 takes no array of one number for the end of a loop, and an instruction of the GPU needs a stand-in."""
    if torch.cuda.is_available():
        return
    patch = interpreter._patch_lang_tensor

    def patched(tensor, scope):
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patched)
    monkeypatch.setattr(geglu_kernels, "_tanh", _tanh)
