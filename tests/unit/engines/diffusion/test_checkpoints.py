import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from latentsync.engines.diffusion import checkpoints
from latentsync.engines.diffusion.checkpoints import check, convert, load_unet, load_vae, resolution_of
from latentsync.engines.diffusion.manifest import pin_resolution
from latentsync.engines.diffusion.models.unet import UNet, UNetConfig
from latentsync.errors import InputError, WeightsError
from tests.unit.engines.diffusion.weights_on_disk import (
    RESOLUTION_PX,
    published_form,
    write_tiny_weights,
)
from tests.unit.engines.diffusion.whisper_files import random_model, write_openai


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("weights"))


def edit_unet(folder: Path, edit) -> Path:
    path = folder / "latentsync_unet.pt"
    content = torch.load(path, weights_only=True)
    edit(content["state_dict"])
    torch.save(content, path)
    return path


def test_a_published_file_is_loaded_as_it_is(folder):
    path = folder / "latentsync_unet.pt"
    unet = load_unet(path, published_form())
    expected = torch.load(path, weights_only=True)["state_dict"]
    assert not unet.training
    assert all(torch.equal(tensor, expected[name]) for name, tensor in unet.state_dict().items())


def test_loaded_weights_do_not_depend_on_the_file_any_more(folder):
    path = folder / "latentsync_unet.pt"
    unet = load_unet(path, published_form())
    before = unet.conv_in.weight.clone()
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(unet.conv_in.weight, before)


def test_the_configuration_may_be_a_file(folder, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(published_form()))
    unet = load_unet(folder / "latentsync_unet.pt", config, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in unet.state_dict().values()} == {torch.bfloat16}


def test_convolutions_are_channels_last(folder):
    unet = load_unet(folder / "latentsync_unet.pt", published_form())
    assert unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)


def test_missing_extra_and_misshapen_tensors_are_all_named(folder):
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["conv_in.bias"]
        tensors["conv_strange.weight"] = torch.zeros(2, 3)
        tensors["conv_out.bias"] = torch.zeros(5)

    with pytest.raises(WeightsError) as caught:
        load_unet(edit_unet(folder, spoil), published_form())
    message = str(caught.value)
    assert "latentsync_unet.pt does not fit" in message
    assert "1 missing: conv_in.bias 32" in message
    assert "1 extra: conv_strange.weight 2x3" in message
    assert "1 of another shape: conv_out.bias 5 instead of 4" in message


def test_only_the_first_ten_of_each_kind_are_listed(folder):
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.startswith("mid_block")]:
            del tensors[name]

    with pytest.raises(WeightsError) as caught:
        load_unet(edit_unet(folder, spoil), published_form())
    assert str(caught.value).count("mid_block") == 10
    assert "and 3" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0"])
def test_a_file_that_is_something_else_is_refused(folder, content):
    path = folder / "latentsync_unet.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"latentsync_unet\.pt \(\d+ bytes\) holds no readable tensors"):
        load_unet(path, published_form())


def test_a_file_cut_off_is_refused(folder):
    path = convert_to(folder, folder / "latentsync_unet.safetensors")
    path.write_bytes(path.read_bytes()[:-1000])
    for read in (lambda: load_unet(path, published_form()), lambda: resolution_of(folder)):
        with pytest.raises(WeightsError, match="cut off"):
            read()


def test_a_file_of_something_else_than_tensors_by_name_is_refused(folder):
    torch.save([1, 2], folder / "latentsync_unet.pt")
    with pytest.raises(WeightsError, match="holds a list"):
        load_unet(folder / "latentsync_unet.pt", published_form())


def test_a_missing_file_names_the_remedy(tmp_path):
    with pytest.raises(WeightsError, match=r"unet\.pt is missing: lipsync weights fetch"):
        load_unet(tmp_path / "unet.pt", {})
    with pytest.raises(WeightsError, match=r"holds no latentsync_unet\.safetensors or latentsync_unet\.pt: "):
        checkpoints.unet_file(tmp_path)


def test_an_unsupported_configuration_is_refused(folder):
    with pytest.raises(WeightsError, match="act_fn is 'gelu'"):
        load_unet(folder / "latentsync_unet.pt", {"act_fn": "gelu"})


def convert_to(folder: Path, out: Path, dtype: torch.dtype = torch.bfloat16) -> Path:
    convert(folder, out, dtype)
    return out


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_converted_file_holds_the_rounded_numbers_and_the_resolution(folder, tmp_path, dtype):
    out = tmp_path / "latentsync_unet.safetensors"
    digest = convert(folder, out, dtype)
    assert digest == hashlib.sha256(out.read_bytes()).hexdigest()
    expected = torch.load(folder / "latentsync_unet.pt", weights_only=True)["state_dict"]
    tensors = load_file(out)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], tensor.to(dtype)) for name, tensor in expected.items())
    with safe_open(out, "pt") as file:
        assert file.metadata() == {"format": "pt", "resolution_px": str(RESOLUTION_PX)}
    assert not list(tmp_path.glob(".*"))


def test_a_converted_file_is_for_everyone_whom_the_umask_allows(folder, tmp_path):
    before = os.umask(0o027)
    try:
        out = convert_to(folder, tmp_path / "latentsync_unet.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE(out.stat().st_mode) == 0o640


def test_a_place_that_cannot_be_written_to_is_an_input_error(folder, tmp_path):
    with pytest.raises(InputError, match=r"nowhere/out\.safetensors cannot be written"):
        convert(folder, tmp_path / "nowhere" / "out.safetensors")


def test_a_converted_file_is_preferred_and_loads_the_same(folder):
    direct = load_unet(folder / "latentsync_unet.pt", published_form(), dtype=torch.bfloat16)
    convert_to(folder, folder / "latentsync_unet.safetensors")
    converted = load_unet(checkpoints.unet_file(folder), published_form(), dtype=torch.bfloat16)
    assert checkpoints.unet_file(folder).suffix == ".safetensors"
    for name, tensor in converted.state_dict().items():
        assert torch.equal(tensor, direct.state_dict()[name])


def test_weights_that_are_not_whole_are_not_converted(folder, tmp_path):
    edit_unet(folder, lambda tensors: tensors.pop("conv_in.bias"))
    with pytest.raises(WeightsError, match=r"missing: conv_in\.bias"):
        convert(folder, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_the_resolution_must_be_told_and_the_remedy_works(folder):
    (folder / "weights.json").unlink()
    with pytest.raises(WeightsError, match=r'write \{"resolution_px": 512\} into .*weights\.json'):
        resolution_of(folder)
    pin_resolution(folder, 512)
    assert resolution_of(folder) == 512


def test_another_resolution_is_refused(folder):
    pin_resolution(folder, 256)
    with pytest.raises(WeightsError, match=r"made for 256 px \(LatentSync 1\.5\), not for 512 px"):
        checkpoints.require_resolution(folder, 512)


def test_contradicting_resolutions_are_refused(folder):
    convert_to(folder, folder / "latentsync_unet.safetensors")
    pin_resolution(folder, 512)
    with pytest.raises(WeightsError, match=r"says 512 px, but latentsync_unet\.safetensors was made for 64 px"):
        resolution_of(folder)


def test_pinning_keeps_the_rest_of_the_manifest(folder):
    pin_resolution(folder, 256)
    assert checkpoints.unet_config(folder)["layers_per_block"] == 1


def test_a_manifest_that_is_no_json_is_refused(folder):
    (folder / "weights.json").write_text("512")
    checkpoints_error = pytest.raises(WeightsError, match=r"weights\.json holds no JSON object")
    with checkpoints_error:
        resolution_of(folder)
    (folder / "weights.json").write_text("{")
    with checkpoints_error:
        resolution_of(folder)


@pytest.mark.slow  # the import of diffusers
def test_vae_of_the_old_naming_loads(tmp_path):
    folder = write_tiny_weights(tmp_path)
    new = load_vae(folder / "vae")
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    tensors = load_file(path)
    for current, old in names.items():
        tensors = {name.replace(current, old): tensor for name, tensor in tensors.items()}
    save_file(tensors, path)
    old = load_vae(folder / "vae")
    assert any(".query." in name for name in tensors)
    assert all(torch.equal(tensor, new.state_dict()[name]) for name, tensor in old.state_dict().items())


@pytest.mark.slow
def test_a_good_folder_has_no_findings_and_a_bad_one_has_them_all(tmp_path):
    folder = write_tiny_weights(tmp_path)
    assert check(folder) == []
    edit_unet(folder, lambda tensors: tensors.pop("conv_in.bias"))
    (folder / "weights.json").write_text(json.dumps({"unet": published_form()}))
    (folder / "vae" / "config.json").unlink()
    (folder / "whisper" / "tiny.pt").unlink()
    resolution, unet, vae, whisper = check(folder)
    assert "does not say which resolution" in resolution
    assert "missing: conv_in.bias" in unet
    assert "config.json is missing" in vae
    assert "whisper holds no tiny.pt" in whisper


@pytest.mark.slow
def test_a_whisper_of_another_size_is_a_finding(tmp_path):
    folder = write_tiny_weights(tmp_path)
    write_openai(folder / "whisper" / "tiny.pt", random_model(channels=64).encoder)
    assert check(folder) == [
        f"{folder / 'whisper' / 'tiny.pt'} has features of 64 channels, the UNet hears 32: use whisper tiny"
    ]


MEASURE = """
import json, re, sys, torch
from pathlib import Path
from latentsync.engines.diffusion.checkpoints import convert, load_unet
from latentsync.engines.diffusion.models.unet import UNet, UNetConfig

def peak_bytes():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

work, folder = sys.argv[1], Path(sys.argv[2])
config = json.loads((folder / "weights.json").read_text())["unet"]
with torch.device("meta"):
    unet = UNet(UNetConfig.from_dict(config))  # what torch imports for it is no weight
weights_bytes = sum(2 * tensor.numel() for tensor in unet.state_dict().values())
before = peak_bytes()
if work == "load":
    unet = load_unet(folder / "latentsync_unet.pt", config, dtype=torch.bfloat16)
else:
    convert(folder, folder / "latentsync_unet.safetensors", torch.bfloat16)
print((peak_bytes() - before) / weights_bytes)
"""


@pytest.mark.slow
@pytest.mark.parametrize("work", ["load", "convert"])
def test_nothing_is_held_twice(tmp_path, work):
    """The same for the full size: benchmarks/loading.py."""
    config = {"block_out_channels": [64, 128, 256, 256], "cross_attention_dim": 64}
    unet = UNet(UNetConfig.from_dict(config))
    torch.save({"global_step": 0, "state_dict": unet.state_dict()}, tmp_path / "latentsync_unet.pt")
    (tmp_path / "weights.json").write_text(json.dumps({"resolution_px": RESOLUTION_PX, "unet": config}))
    command = [sys.executable, "-c", MEASURE, work, str(tmp_path)]
    ratio = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert ratio <= 1.2
