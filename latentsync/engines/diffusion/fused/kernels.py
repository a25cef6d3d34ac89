"""What ``twins`` computes, on a GPU: Triton kernels, and cuDNN's or flash attention within an image."""

from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.nn.attention import SDPBackend, sdpa_kernel

from latentsync.engines.diffusion.fused.attention_kernels import cross_attention, softmax, temporal_attention
from latentsync.engines.diffusion.fused.geglu_kernels import geglu
from latentsync.engines.diffusion.fused.norm_kernels import affine, interleave, layer_norm, moments, normalise

__all__ = [
    "affine", "cross_attention", "geglu", "interleave", "layer_norm", "moments", "normalise", "self_attention",
    "softmax", "temporal_attention",
]  # fmt: skip

WIDEST_CUDNN = 80  # channels of a head; above, flash attention is faster (H100)
_BACKENDS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def self_attention(qkv: Tensor, heads: int) -> Tensor:
    """See the twin."""
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
    backends = [SDPBackend.CUDNN_ATTENTION, *_BACKENDS] if q.shape[-1] <= WIDEST_CUDNN else _BACKENDS
    with sdpa_kernel(backends, set_priority=True):
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
