"""The weights of diffusers' ``AutoencoderKL`` under their names, without its import, which takes seconds.

They only hold the numbers: ``fused.vae`` computes with them, and diffusers' own class in the readable path.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import nn

LATENT_CHANNELS = 4
EPS = 1e-6  # of every GroupNorm


class VaeResnet(nn.Module):
    """Two convolutions, each after a norm, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, groups: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, EPS)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, outputs, EPS)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()


class VaeAttention(nn.Module):
    """One head over the positions of an image."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, EPS)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])


class VaeBlock(nn.Module):
    """Resnets, then a convolution that goes with the change of size unless it is the ``last``."""

    def __init__(self, inputs: int, outputs: int, layers: int, groups: int, sampler: str, last: bool):
        super().__init__()
        widths = [inputs, *[outputs] * layers]
        self.resnets = nn.ModuleList(VaeResnet(*pair, groups) for pair in pairwise(widths))
        if not last:
            convolution = nn.ModuleDict({"conv": nn.Conv2d(outputs, outputs, 3, padding=1)})
            self.add_module(sampler, nn.ModuleList([convolution]))

    @property
    def samplers(self) -> list[Any]:
        """The convolution, if there is one."""
        return [getattr(self, name)[0]["conv"] for name, _ in self.named_children() if name.endswith("samplers")]


class VaeMiddle(nn.Module):
    """Resnet, attention, resnet."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.attentions = nn.ModuleList([VaeAttention(channels, groups)])
        self.resnets = nn.ModuleList(VaeResnet(channels, channels, groups) for _ in range(2))


class VaeHalf(nn.Module):
    """The encoder or the decoder."""

    def __init__(self, ends: tuple[int, int], widths: Sequence[int], layers: int, groups: int, kind: str):
        super().__init__()
        inner = widths[-1] if kind == "down" else widths[0]
        self.conv_in = nn.Conv2d(ends[0], widths[0], 3, padding=1)
        pairs = list(pairwise([widths[0], *widths]))
        blocks = (
            VaeBlock(*pair, layers, groups, f"{kind}samplers", last=index == len(pairs) - 1)
            for index, pair in enumerate(pairs)
        )
        self.add_module(f"{kind}_blocks", nn.ModuleList(blocks))
        self.mid_block = VaeMiddle(inner, groups)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], ends[1], 3, padding=1)


class VaeWeights(nn.Module):
    """All weights, from the fields of a diffusers ``config.json``; raises ``KeyError`` for one that is missing."""

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.config = dict(config)
        widths, layers, groups = config["block_out_channels"], config["layers_per_block"], config["norm_num_groups"]
        self.encoder = VaeHalf((3, 2 * LATENT_CHANNELS), widths, layers, groups, "down")
        self.decoder = VaeHalf((LATENT_CHANNELS, 3), widths[::-1], layers + 1, groups, "up")
        self.quant_conv = nn.Conv2d(2 * LATENT_CHANNELS, 2 * LATENT_CHANNELS, 1)
        self.post_quant_conv = nn.Conv2d(LATENT_CHANNELS, LATENT_CHANNELS, 1)
