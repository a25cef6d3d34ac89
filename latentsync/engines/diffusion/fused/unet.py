"""The UNet packed for inference: computes what ``models.unet.UNet`` computes, in fewer passes over memory.

Letters in comments: b windows, f frames, h w latent pixels, c channels.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from latentsync.engines.diffusion.fused.layers import Map, Norm, Ops, Resnet, Upsample, conv, padded
from latentsync.engines.diffusion.fused.transformers import Spatial, Temporal, Voice

SAMPLE_CHANNELS = 16  # the 13 that the UNet reads, and zeros
NOISE_CHANNELS = 8  # the 4 that it predicts, and zeros


class Step(NamedTuple):
    """What all layers of one pass share."""

    time: Tensor  # (sum of c,) float32: a row of ``FusedUNet.times``
    voice: Voice
    frames: int


class Layer:
    """Resnet, spatial transformer (if any), motion module (if any)."""

    def __init__(self, ops: Ops, parts: tuple[Any, Any, Any], times: slice, voice: int):
        resnet, spatial, motion = parts
        self._ops, self._times, self._resnet = ops, times, Resnet(ops, resnet)
        self._spatial = None if spatial is None else Spatial(ops, spatial, voice)
        self._motion = None if motion is None else Temporal(ops, motion.temporal_transformer)
        biases = [part.out_bias for part in (self._spatial, self._motion) if part is not None]
        self._bias = torch.stack(biases).sum(0) if biases else None

    def __call__(self, maps: list[Map], step: Step) -> Map:
        """Maps side by side -> one."""
        made = self._resnet(maps, step.time[self._times], step.frames)
        pending = None
        if self._spatial is not None:
            x = self._spatial(made, step.voice)
            if self._motion is None:
                return Map.of(self._ops, x, bias=self._bias)
            made, pending = Map.of(self._ops, x), self._spatial.out_bias
        if self._motion is None:
            return made
        return Map.of(self._ops, self._motion(made, pending, step.frames), bias=self._bias)


class FusedUNet:
    """Packed weights of a ``models.unet.UNet``. Takes its tensors over: the convolutions' are shared with it."""

    def __init__(self, unet: Any, ops: Ops):
        self._ops, self.dtype, self.device = ops, unet.conv_in.weight.dtype, unet.conv_in.weight.device
        self._conv_in = padded(unet.conv_in.weight, len(unet.conv_in.weight), SAMPLE_CHANNELS)
        self._conv_in_bias = unet.conv_in.bias.float()
        self._embedding = unet.time_embedding
        self._time_parts: list[tuple[nn.Linear, Tensor]] = []
        self._voice_parts: list[Tensor] = []
        self._down = [
            [
                *self._layers(block),
                *((sampler.conv.weight, sampler.conv.bias.float()) for sampler in block.downsamplers),
            ]
            for block in unet.down_blocks
        ]
        mid = unet.mid_block
        self._mid = [self._layer(mid.resnets[0], mid.attentions[0], None), self._layer(mid.resnets[1], None, None)]
        self._up = [
            (list(self._layers(block)), [Upsample(ops, sampler.conv) for sampler in block.upsamplers])
            for block in unet.up_blocks
        ]
        self._norm_out = Norm(ops, unet.conv_norm_out)
        self._conv_out = padded(unet.conv_out.weight, NOISE_CHANNELS, unet.conv_out.weight.shape[1])
        self._conv_out_bias = unet.conv_out.bias.float()
        self._voice = torch.cat(self._voice_parts)
        self._time = torch.cat([part.weight for part, _ in self._time_parts])
        self._time_bias = torch.cat([part.bias.float() + bias for part, bias in self._time_parts])
        self.voice_channels, self.time_channels = len(self._voice), len(self._time)
        del self._voice_parts, self._time_parts

    def listen(self, tokens: Tensor) -> Tensor:
        """Keys and values of all layers for tokens (B*F, T, C), once per window."""
        return tokens @ self._voice.t()

    def times(self, timesteps: Tensor) -> Tensor:
        """What each timestep (S,) adds in each resnet, (S, sum of c) float32, once per schedule."""
        return (F.silu(self._embedding(timesteps)) @ self._time.t()).float() + self._time_bias

    def __call__(
        self, sample: Tensor, step: Step, *, branch: int | None = None, feature: Map | None = None
    ) -> tuple[Tensor, Map | None]:
        """Predict the noise.

        Args:
            sample: (B*F, h, w, 16).
            step: time, voice and frames; with ``voice.doubled`` all comes out twice, without and with voice.
            branch: with DeepCache, the skip at which the feature is kept.
            feature: a kept feature: recompute only what lies outside ``branch``.

        Returns:
            noise (images, h, w, 4) float32; with ``branch`` also the feature for later steps.
        """
        kept = None if feature is None else branch
        first = Map.of(self._ops, conv(sample, self._conv_in), bias=self._conv_in_bias)
        skips = self._descend(first, step, kept)
        x = feature or self._mid[1]([self._mid[0]([skips[-1]], step)], step)
        x, feature = self._ascend(x, skips, step, branch, kept)
        out = conv(self._norm_out([x], step.frames, silu=True), self._conv_out)
        channels = len(self._conv_out_bias)
        return out[..., :channels].float() + self._conv_out_bias, feature

    def _descend(self, x: Map, step: Step, kept: int | None) -> list[Map]:
        skips = [x]
        for block in self._down:
            for layer in block:
                if kept is not None and len(skips) > kept:
                    return skips
                if isinstance(layer, Layer):
                    skips.append(layer([skips[-1]], step))
                else:
                    weight, bias = layer
                    skips.append(Map.of(self._ops, conv(skips[-1].x, weight, stride=2), bias=bias))
        return skips

    def _ascend(
        self, x: Map, skips: list[Map], step: Step, branch: int | None, kept: int | None
    ) -> tuple[Map, Map | None]:
        feature, number = None, sum(len(layers) for layers, _ in self._up)
        for layers, upsamplers in self._up:
            for layer in layers:
                number -= 1
                if kept is not None and number > kept:
                    continue
                if number == branch:
                    feature = x
                skip = skips[number]
                x = layer([x, skip if len(skip.x) == len(x.x) else skip.doubled()], step)
            if upsamplers and (kept is None or number <= kept):
                x = upsamplers[0](x.x)
        return x, feature

    def _layers(self, block: Any) -> Iterator[Layer]:
        attentions = block.attentions or [None] * len(block.resnets)
        for parts in zip(block.resnets, attentions, block.motion_modules, strict=True):
            yield self._layer(*parts)

    def _layer(self, resnet: Any, spatial: Any, motion: Any) -> Layer:
        """Pack a layer, and note what it adds to the tables of times and voices."""
        time = sum(len(bias) for _, bias in self._time_parts)
        voice = sum(len(part) for part in self._voice_parts)
        layer = Layer(self._ops, (resnet, spatial, motion), slice(time, time + resnet.conv1.out_channels), voice)
        self._time_parts.append((resnet.time_emb_proj, resnet.conv1.bias.float()))
        if spatial is not None:
            attention = spatial.transformer_blocks[0].attn2
            self._voice_parts += [attention.to_k.weight, attention.to_v.weight]
        return layer
