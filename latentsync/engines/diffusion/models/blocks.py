"""Blocks of the UNet: residual layers with spatial and temporal attention, per frame ``(b f) c h w``."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from latentsync.engines.diffusion.models.attention import SpatialTransformer
from latentsync.engines.diffusion.models.motion import MotionModule


@dataclass(frozen=True)
class LayerSpec:
    """What all layers of one UNet share."""

    time_channels: int
    audio_channels: int
    heads: int  # of the spatial attention
    groups: int  # of the resnets' and spatial transformers' GroupNorm
    eps: float  # of the resnets' GroupNorm
    motion_heads: int
    motion_attentions: int
    max_frames: int


@dataclass(frozen=True)
class Condition:
    """What every layer hears besides its input."""

    time: Tensor  # (B, time_channels), after SiLU
    audio: Tensor  # (B*F, T, audio_channels)
    frames: int  # F


class WindowGroupNorm(nn.GroupNorm):
    """GroupNorm whose statistics span all F frames of a window."""

    def forward(self, x: Tensor, frames: int) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """(B*F, C, H, W) -> (B*F, C, H, W); in channels_last memory both rearrangements are views."""
        pixels = x.permute(0, 2, 3, 1)  # (b f) h w c, contiguous
        window = pixels.reshape(-1, frames * x.shape[2], *pixels.shape[2:])  # b (f h) w c
        window = super().forward(window.permute(0, 3, 1, 2))
        return window.permute(0, 2, 3, 1).reshape(pixels.shape).permute(0, 3, 1, 2)


class ResnetBlock(nn.Module):
    """Two convolutions per frame; the time embedding is added between them."""

    def __init__(self, in_channels: int, out_channels: int, spec: LayerSpec):
        super().__init__()
        self.norm1 = WindowGroupNorm(spec.groups, in_channels, spec.eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(spec.time_channels, out_channels)
        self.norm2 = WindowGroupNorm(spec.groups, out_channels, spec.eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        """(B*F, C, H, W) -> (B*F, C', H, W)."""
        frames = condition.frames
        time = self.time_emb_proj(condition.time).repeat_interleave(frames, dim=0)  # (B*F, C')
        hidden = self.conv1(F.silu(self.norm1(x, frames))) + time[:, :, None, None]
        hidden = self.conv2(F.silu(self.norm2(hidden, frames)))
        return self.conv_shortcut(x) + hidden


class Downsample(nn.Module):
    """Halves height and width."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B*F, C, H, W) -> (B*F, C, H/2, W/2)."""
        return self.conv(x)


class Upsample(nn.Module):
    """Doubles height and width (nearest), then smooths."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B*F, C, H, W) -> (B*F, C, 2H, 2W)."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Block(nn.Module):
    """Layers at one scale, each: resnet, spatial transformer (if ``attention``), motion module."""

    def __init__(self, widths: list[tuple[int, int]], spec: LayerSpec, attention: bool):
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(inner, outer, spec) for inner, outer in widths)
        self.attentions = nn.ModuleList(
            SpatialTransformer(outer, spec.heads, spec.audio_channels, spec.groups) for _, outer in widths if attention
        )
        self.motion_modules = nn.ModuleList(
            MotionModule(outer, spec.motion_heads, spec.motion_attentions, spec.max_frames) for _, outer in widths
        )

    def layer(self, index: int, x: Tensor, condition: Condition) -> Tensor:
        """Run one layer: (B*F, C, H, W) -> (B*F, C', H, W)."""
        x = self.resnets[index](x, condition)
        if self.attentions:
            x = self.attentions[index](x, condition.audio)
        return self.motion_modules[index](x, condition.frames)


class DownBlock(Block):
    """Layers, then a downsampler unless it is the deepest block."""

    def __init__(self, in_channels: int, channels: int, layers: int, spec: LayerSpec, attention: bool, last: bool):
        widths = [(in_channels, channels), *[(channels, channels)] * (layers - 1)]
        super().__init__(widths, spec, attention)
        self.downsamplers = nn.ModuleList([] if last else [Downsample(channels)])

    def __len__(self) -> int:
        return len(self.resnets) + len(self.downsamplers)

    def step(self, index: int, x: Tensor, condition: Condition) -> Tensor:
        """Run layer ``index``, or the downsampler after the last layer; each leaves a skip."""
        if index < len(self.resnets):
            return self.layer(index, x, condition)
        return self.downsamplers[0](x)


class MidBlock(nn.Module):
    """Resnet, spatial transformer, resnet; no motion module."""

    def __init__(self, channels: int, spec: LayerSpec):
        super().__init__()
        self.attentions = nn.ModuleList([SpatialTransformer(channels, spec.heads, spec.audio_channels, spec.groups)])
        self.resnets = nn.ModuleList([ResnetBlock(channels, channels, spec) for _ in range(2)])

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        """(B*F, C, H, W) -> (B*F, C, H, W)."""
        x = self.resnets[0](x, condition)
        x = self.attentions[0](x, condition.audio)
        return self.resnets[1](x, condition)


class UpBlock(Block):
    """Layers that each take a skip on their channels, then an upsampler unless it is the last block."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        skip_channels: list[int],
        spec: LayerSpec,
        attention: bool,
        last: bool,
    ):
        entering = [in_channels, *[channels] * (len(skip_channels) - 1)]
        widths = [(x + skip, channels) for x, skip in zip(entering, skip_channels, strict=True)]
        super().__init__(widths, spec, attention)
        self.upsamplers = nn.ModuleList([] if last else [Upsample(channels)])
