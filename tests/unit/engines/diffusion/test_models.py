import copy

import pytest
import torch

from latentsync.engines.diffusion.models.motion import PositionTable
from latentsync.engines.diffusion.models.unet import UNet, UNetConfig

TINY = UNetConfig(
    block_out_channels=(32, 32, 64, 64),
    layers_per_block=1,
    attention_head_dim=2,
    cross_attention_dim=16,
    norm_num_groups=8,
    motion_heads=2,
)


@pytest.fixture(scope="module")
def unet() -> UNet:
    torch.manual_seed(0)
    return UNet(TINY).eval()


def inputs(batch: int = 1, frames: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(batch, 13, frames, 8, 8, generator=generator)
    return sample, torch.tensor(500), torch.randn(batch * frames, 50, 16, generator=generator)


def test_no_activation_is_copied_between_spatial_and_temporal_layers(unet):
    sample, timestep, tokens = inputs(frames=4)
    sample = sample.repeat(1, 1, 1, 2, 2)  # 2x2 at the deepest scale: strides are unambiguous
    model = copy.deepcopy(unet).to(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.profiler.profile(record_shapes=True) as profile:
        model(sample, timestep, tokens)
    events = profile.events()
    assert events is not None
    copied = [event.input_shapes[0] for event in events if event.name == "aten::clone"]
    maps = [shape for shape in copied if len(shape) >= 4]
    assert maps == [[4, 13, 16, 16]]  # the sample on its way in, nothing after it


@pytest.mark.parametrize("branch", range(8))
def test_cached_pass_equals_the_full_pass_for_the_same_input(unet, branch):
    sample, timestep, tokens = inputs(frames=3)
    with torch.inference_mode():
        plain = unet(sample, timestep, tokens)
        noise, feature = unet(sample, timestep, tokens, branch=branch)
        cached, kept = unet(sample, timestep, tokens, branch=branch, feature=feature)
    assert torch.equal(noise, plain)
    assert torch.equal(kept, feature)
    torch.testing.assert_close(cached, plain, atol=1e-6, rtol=0)


def test_cached_pass_runs_only_the_layers_outside_the_branch(unet):
    sample, timestep, tokens = inputs(frames=2)
    ran = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in unet.named_modules()
        if name.endswith(("resnets.0", "resnets.1"))
    ]
    with torch.inference_mode():
        _, feature = unet(sample, timestep, tokens, branch=0)
        ran.clear()
        unet(sample, timestep, tokens, branch=0, feature=feature)
    for hook in hooks:
        hook.remove()
    assert ran == ["up_blocks.3.resnets.1"]


def test_windows_of_a_batch_do_not_touch_each_other(unet):
    sample, timestep, tokens = inputs(batch=2, frames=4)
    other = sample.clone()
    other[1] += 1
    with torch.inference_mode():
        first, second = unet(sample, timestep, tokens), unet(other, timestep, tokens)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_frames_of_a_window_influence_each_other(unet):
    sample, timestep, tokens = inputs(frames=16)
    with torch.inference_mode():
        whole, part = unet(sample, timestep, tokens), unet(sample[:, :, :5], timestep, tokens[:5])
    assert (whole[:, :, :5] - part).abs().max() > 1e-3


def test_published_configuration_is_the_default(unet):
    published = {"attention_head_dim": 8, "motion_module_kwargs": {
        "num_attention_heads": 8, "attention_block_types": ["Temporal_Self", "Temporal_Self"],
        "temporal_position_encoding_max_len": 24,
    }}  # fmt: skip
    assert UNetConfig.from_dict(published) == UNetConfig()


@pytest.mark.parametrize("odd", [{"act_fn": "gelu"}, {"motion_module_kwargs": {"temporal_attention_dim_div": 2}}])
def test_configuration_that_means_another_network_is_refused(odd):
    with pytest.raises(ValueError, match=r"only .* is supported"):
        UNetConfig.from_dict(odd)


def test_position_table_starts_with_sine_and_cosine():
    table = PositionTable(4, 3).pe
    angle = torch.tensor(2.0)
    torch.testing.assert_close(table[0, 2, :2], torch.stack([angle.sin(), angle.cos()]))
