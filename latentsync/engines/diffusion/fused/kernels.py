"""What ``twins`` computes, on a GPU: Triton kernels, and cuDNN's or flash attention within an image."""

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from latentsync.engines.diffusion.fused import twins
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
    narrow = qkv.shape[-1] // (3 * heads) <= WIDEST_CUDNN
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION, *_BACKENDS] if narrow else _BACKENDS, set_priority=True):
        return twins.self_attention(qkv, heads)
