"""The denoising UNet: Stable Diffusion 1.5's, inflated to windows of frames that hear the voice.

Names of weights equal those of the published LatentSync 1.5 and 1.6 files (1,246 tensors).
Comments give shapes as einops patterns: b windows, f frames, c channels, h w latent pixels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from latentsync.engines.diffusion.models.blocks import (
    Condition,
    DownBlock,
    LayerSpec,
    MidBlock,
    UpBlock,
    WindowGroupNorm,
)

# Fields of a published configuration that this UNet has no choice about.
_FIXED = {
    "act_fn": "silu",
    "center_input_sample": False,
    "add_audio_layer": True,
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock3DCrossAttn",
    "resnet_time_scale_shift": "default",
    "use_motion_module": True,
    "motion_module_resolutions": [1, 2, 4, 8],
    "motion_module_mid_block": False,
    "motion_module_decoder_only": False,
    "motion_module_type": "Vanilla",
}
_FIXED_MOTION = {
    "num_transformer_block": 1,
    "temporal_position_encoding": True,
    "temporal_attention_dim_div": 1,
}


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of a UNet; the defaults are those of LatentSync 1.5 and 1.6."""

    in_channels: int = 13  # noisy latent 4, keep-mask 1, masked latent 4, reference latent 4
    out_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    attention_head_dim: int = 8  # published name; it means the NUMBER of heads
    cross_attention_dim: int = 384
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    motion_heads: int = 8
    motion_attentions: int = 2
    max_frames: int = 24

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """Read a published configuration; raises ``ValueError`` for what this UNet does not do."""
        motion = config.get("motion_module_kwargs", {})
        for given, fixed in ((config, _FIXED), (motion, _FIXED_MOTION)):
            for name, value in fixed.items():
                if given.get(name, value) != value:
                    raise ValueError(f"{name} is {given[name]!r}; only {value!r} is supported")
        own = {field.name for field in fields(cls)}
        sizes = {name: value for name, value in config.items() if name in own}
        if "block_out_channels" in sizes:
            sizes["block_out_channels"] = tuple(sizes["block_out_channels"])
        if motion:
            sizes["motion_heads"] = motion["num_attention_heads"]
            sizes["motion_attentions"] = len(motion["attention_block_types"])
            sizes["max_frames"] = motion["temporal_position_encoding_max_len"]
        return cls(**sizes)

    @property
    def layer_spec(self) -> LayerSpec:
        """What all layers share."""
        return LayerSpec(
            time_channels=4 * self.block_out_channels[0],
            audio_channels=self.cross_attention_dim,
            heads=self.attention_head_dim,
            groups=self.norm_num_groups,
            eps=self.norm_eps,
            motion_heads=self.motion_heads,
            motion_attentions=self.motion_attentions,
            max_frames=self.max_frames,
        )


class TimeEmbedding(nn.Module):
    """Sinusoids of the timestep (cosine first), then a two-layer perceptron."""

    def __init__(self, channels: int):
        super().__init__()
        self.linear_1 = nn.Linear(channels, 4 * channels)
        self.linear_2 = nn.Linear(4 * channels, 4 * channels)

    def forward(self, timestep: Tensor) -> Tensor:
        """(B,) -> (B, 4 * channels)."""
        half = self.linear_1.in_features // 2
        index = torch.arange(half, device=timestep.device, dtype=torch.float32)
        angles = timestep[:, None].float() * torch.exp(index * (-math.log(10000.0) / half))
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1).to(self.linear_1.weight.dtype)
        return self.linear_2(F.silu(self.linear_1(waves)))


class UNet(nn.Module):
    """Predicts the noise of windows of latent frames, given the voice.

    Skips count from the outside: skip 0 is ``conv_in``'s output, and the up layer that takes skip r
    is the r-th from the end. DeepCache (Ma et al., arXiv 2312.00858) with ``branch`` r keeps what
    enters that layer, and later recomputes only what lies outside it.
    """

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        spec, widths = config.layer_spec, config.block_out_channels
        deepest = len(widths) - 1
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0])
        down, up = [], []
        channels, skips = widths[0], [widths[0]]
        for depth, width in enumerate(widths):
            inner, layers = depth < deepest, config.layers_per_block
            down.append(DownBlock(channels, width, layers, spec, attention=inner, last=not inner))
            channels, skips = width, skips + [width] * len(down[-1])
        self.down_blocks = cast(list[DownBlock], nn.ModuleList(down))
        self.mid_block = MidBlock(channels, spec)
        for depth, width in reversed(list(enumerate(widths))):
            taken = [skips.pop() for _ in range(config.layers_per_block + 1)]
            up.append(UpBlock(channels, width, taken, spec, attention=depth < deepest, last=depth == 0))
            channels = width
        self.up_blocks = cast(list[UpBlock], nn.ModuleList(up))
        self.conv_norm_out = WindowGroupNorm(spec.groups, channels, spec.eps)
        self.conv_out = nn.Conv2d(channels, config.out_channels, 3, padding=1)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int,
        audio_tokens: Tensor,
        *,
        branch: int | None = None,
        feature: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Predict the noise.

        Args:
            sample: (B, 13, F, h, w); F <= ``config.max_frames``, h and w multiples of 8.
            timestep: of the noise schedule; one number, or (B,).
            audio_tokens: (B*F, T, audio channels).
            branch: with DeepCache, the skip at which features are kept; None: no DeepCache.
            feature: a kept feature: recompute only what lies outside ``branch``.

        Returns:
            noise (B, 4, F, h, w); with ``branch`` also the feature for later steps.
        """
        batch, _, frames = sample.shape[:3]
        time = torch.as_tensor(timestep, device=sample.device).expand(batch)
        condition = Condition(F.silu(self.time_embedding(time)), audio_tokens, frames)
        x = sample.transpose(1, 2).flatten(0, 1)  # b c f h w -> (b f) c h w
        x = x.contiguous(memory_format=torch.channels_last)
        kept = None if feature is None else branch
        skips = self._down(self.conv_in(x), condition, kept)
        x = self.mid_block(skips[-1], condition) if feature is None else feature
        x, feature = self._up(x, skips, condition, branch, kept)
        x = self.conv_out(F.silu(self.conv_norm_out(x, frames)))
        noise = x.unflatten(0, (batch, frames)).transpose(1, 2)  # (b f) c h w -> b c f h w
        return noise if feature is None else (noise, feature)

    def _down(self, x: Tensor, condition: Condition, kept: int | None) -> list[Tensor]:
        """All skips, outermost first; with ``kept`` only 0 .. kept."""
        skips = [x]
        for block in self.down_blocks:
            for index in range(len(block)):
                if kept is not None and len(skips) > kept:
                    return skips
                skips.append(block.step(index, skips[-1], condition))
        return skips

    def _up(
        self, x: Tensor, skips: list[Tensor], condition: Condition, branch: int | None, kept: int | None
    ) -> tuple[Tensor, Tensor | None]:
        """The last feature map, and what entered the layer of skip ``branch``."""
        feature = None
        skip = sum(len(block.resnets) for block in self.up_blocks)
        for block in self.up_blocks:
            for index in range(len(block.resnets)):
                skip -= 1
                if kept is not None and skip > kept:
                    continue
                if skip == branch:
                    feature = x
                x = block.layer(index, torch.cat([x, skips[skip]], dim=1), condition)
            if block.upsamplers and (kept is None or skip <= kept):
                x = block.upsamplers[0](x)
        return x, feature
