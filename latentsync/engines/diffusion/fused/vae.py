"""The VAE packed for inference: computes what diffusers' ``AutoencoderKL`` computes, posterior's mode and all."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from latentsync.engines.diffusion.fused.layers import Map, Norm, Ops, Resnet, Upsample, conv, padded
from latentsync.engines.diffusion.models.vae import LATENT_CHANNELS, VaeWeights

CHANNELS_IN, CHANNELS_OUT = 32, 8  # of pixels and latents, filled up to what cuDNN is fast with (H100)


class _Attention:
    """One head as wide as the map: too wide for flash attention, so its scores are written out."""

    def __init__(self, ops: Ops, module: Any):
        self._ops, self._norm = ops, Norm(ops, module.group_norm)
        scale = module.to_q.in_features**-0.5
        parts = (module.to_q, module.to_k, module.to_v)
        factors = (scale, 1, 1)
        self._qkv = torch.cat([part.weight * factor for part, factor in zip(parts, factors, strict=True)])
        self._bias = torch.cat([part.bias * factor for part, factor in zip(parts, factors, strict=True)])
        self._out = module.to_out[0]

    def __call__(self, given: Map) -> Map:
        rows = self._norm([given], 1, silu=False).flatten(1, 2)
        q, k, v = F.linear(rows, self._qkv, self._bias).chunk(3, dim=-1)
        scores = torch.bmm(q, k.transpose(1, 2))
        self._ops.softmax(scores)
        return Map.of(self._ops, given.x, self._out(scores @ v))


class _Level:
    """Resnets one after the other, every image on its own, then the change of size, if there is one."""

    def __init__(self, ops: Ops, resnets: Any, samplers: Sequence[Callable[[Tensor], Map]] = ()):
        self._resnets, self._samplers = [Resnet(ops, module) for module in resnets], samplers

    def __call__(self, x: Map) -> Map:
        for resnet in self._resnets:
            x = resnet([x], resnet.bias1, 1)
        for sampler in self._samplers:
            x = sampler(x.x)
        return x


def _levels(ops: Ops, blocks: Any, sampler: type["_Downsample | Upsample"]) -> list[Callable[[Map], Map]]:
    return [_Level(ops, block.resnets, [sampler(ops, module) for module in block.samplers]) for block in blocks]


def _middle(ops: Ops, module: Any) -> list[Callable[[Map], Map]]:
    return [
        _Level(ops, module.resnets[:1]), _Attention(ops, module.attentions[0]), _Level(ops, module.resnets[1:])
    ]  # fmt: skip


class _Downsample:
    """A convolution of stride 2 that is padded right and below only: as a 4x4 one whose first taps are zero."""

    def __init__(self, ops: Ops, module: Any):
        self._ops, self._bias = ops, module.bias.float()
        self._weight = F.pad(module.weight, (1, 0, 1, 0)).contiguous(memory_format=torch.channels_last)

    def __call__(self, x: Tensor) -> Map:
        return Map.of(self._ops, conv(x, self._weight, stride=2), bias=self._bias)


class _End:
    """The first or last convolution, the few channels on its outer side filled up with zeros."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        outputs, inputs = weight.shape[:2]
        opening = inputs < outputs
        self._outputs, self._bias = outputs, bias.float()
        wide = (outputs, max(inputs, CHANNELS_IN)) if opening else (max(outputs, CHANNELS_OUT), inputs)
        self._weight = padded(weight.to(dtype), *wide)

    def opened(self, ops: Ops, x: Tensor) -> Map:
        """(N, h, w, few) -> a map."""
        x = F.pad(x.to(self._weight.dtype), (0, self._weight.shape[1] - x.shape[-1]))
        return Map.of(ops, conv(x, self._weight), bias=self._bias)

    def closed(self, x: Tensor) -> Tensor:
        """A map -> (N, h, w, few) float32."""
        return conv(x, self._weight)[..., : self._outputs].float() + self._bias


class FusedVae:
    """Packed weights of a VAE, for images (N, R, R, 3) and latents (N, R/8, R/8, 4), scaled as the UNet wants them."""

    def __init__(self, weights: VaeWeights, ops: Ops):
        self._ops, self._scale = ops, float(weights.config["scaling_factor"])
        encoder: Any = weights.encoder
        decoder: Any = weights.decoder
        quant: Any = weights.quant_conv
        after_quant: Any = weights.post_quant_conv
        dtype = quant.weight.dtype
        self._encode_in = _End(encoder.conv_in.weight, encoder.conv_in.bias, dtype)
        self._encoder = _levels(ops, encoder.down_blocks, _Downsample) + _middle(ops, encoder.mid_block)
        self._encode_norm = Norm(ops, encoder.conv_norm_out)
        mean = self._scale * quant.weight[:LATENT_CHANNELS].float().flatten(1)  # the rest is the variance
        bias = mean @ encoder.conv_out.bias.float() + self._scale * quant.bias[:LATENT_CHANNELS].float()
        merged = torch.einsum("om,mihw->oihw", mean, encoder.conv_out.weight.float())
        self._encode_out = _End(merged, bias, dtype)
        self._after_quant = after_quant.weight.float().flatten(1), after_quant.bias.float()
        self._decode_in = _End(decoder.conv_in.weight, decoder.conv_in.bias, dtype)
        self._decoder = _middle(ops, decoder.mid_block) + _levels(ops, decoder.up_blocks, Upsample)
        self._decode_norm = Norm(ops, decoder.conv_norm_out)
        self._decode_out = _End(decoder.conv_out.weight, decoder.conv_out.bias, dtype)

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (N, R, R, 3) in -1..1 -> latents (N, h, w, 4) float32."""
        x = self._encode_in.opened(self._ops, pixels)
        for layer in self._encoder:
            x = layer(x)
        return self._encode_out.closed(self._encode_norm([x], 1, silu=True))

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, h, w, 4) -> pixels (N, R, R, 3) float32."""
        x = self._decode_in.opened(self._ops, F.linear(latents / self._scale, *self._after_quant))
        for layer in self._decoder:
            x = layer(x)
        return self._decode_out.closed(self._decode_norm([x], 1, silu=True))
