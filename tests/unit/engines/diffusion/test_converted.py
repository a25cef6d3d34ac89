"""The published UNet converted once, beside it."""

import os
from pathlib import Path

import pytest
import torch

from latentsync.engines.diffusion.checkpoints import load_unet
from latentsync.engines.diffusion.converted import convert_once, quickest_file
from latentsync.engines.diffusion.networks import Place, published_networks
from latentsync.engines.registry import engine_identity
from latentsync.engines.settings import EngineSettings
from latentsync.errors import WeightsError
from tests.unit.engines.diffusion.weights_on_disk import RESOLUTION_PX, published_form, write_tiny_weights

HALF = torch.float16


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("weights"))


def converted(folder: Path) -> Path:
    made = convert_once(folder, HALF)
    assert made is not None
    return made


def spoil(unet: Path) -> None:
    """Other content in a file that looks the same."""
    stat = unet.stat()
    unet.write_bytes(bytes(stat.st_size))
    os.utime(unet, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_the_converted_numbers_are_those_that_loading_the_published_file_gives(folder):
    unet = folder / "latentsync_unet.pt"
    expected = load_unet(unet, published_form(), dtype=HALF).state_dict()
    made = converted(folder)
    assert made == quickest_file(unet, HALF)
    assert made.stat().st_size < 0.6 * unet.stat().st_size
    found = load_unet(made, published_form(), dtype=HALF).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_the_networks_load_from_it(folder):
    convert_once(folder, HALF)
    spoil(folder / "latentsync_unet.pt")
    place = Place(RESOLUTION_PX, torch.device("cpu"), HALF, fused=True)
    makers = published_networks(folder, place)._makers
    assert makers.unet(place.device, HALF).conv_in.weight.dtype == HALF
    with pytest.raises(WeightsError, match=r"latentsync_unet\.pt"):
        makers.unet(place.device, torch.bfloat16)  # in which nothing was converted


def test_it_is_written_once(folder):
    made = converted(folder)
    before = made.stat()
    assert convert_once(folder, HALF) is None
    assert made.stat().st_mtime_ns == before.st_mtime_ns
    assert convert_once(folder, torch.bfloat16) not in (None, made)


def test_where_nothing_is_saved_nothing_is_written(folder):
    assert convert_once(folder, torch.float32) is None
    made = converted(folder)
    made.rename(folder / "latentsync_unet.safetensors")
    assert convert_once(folder, HALF) is None
    assert not list((folder / ".converted").iterdir())


def test_one_of_another_file_does_not_count(folder):
    unet, made = folder / "latentsync_unet.pt", converted(folder)
    os.utime(unet, ns=(0, unet.stat().st_mtime_ns + 1))
    assert quickest_file(unet, HALF) == unet
    assert convert_once(folder, HALF) == made
    assert quickest_file(unet, HALF) == made


def test_a_spoilt_one_is_made_anew(folder, caplog):
    unet, made = folder / "latentsync_unet.pt", converted(folder)
    made.write_bytes(made.read_bytes()[:-1000])
    assert quickest_file(unet, HALF) == unet
    assert "cut off" in caplog.text
    assert convert_once(folder, HALF) == made == quickest_file(unet, HALF)


def test_what_a_killed_writer_left_goes(folder):
    made = converted(folder)
    left = made.with_name(f".{made.name}.0123abcd.part.safetensors")
    made.rename(left)
    convert_once(folder, HALF)
    assert [*made.parent.iterdir()] == [made]


def test_it_changes_no_key(folder):
    engine = EngineSettings.model_validate({"name": "latentsync", "latentsync": {"weights": folder}})
    before = engine_identity(engine)
    convert_once(folder, HALF)
    assert engine_identity(engine) == before
    (folder / "weights.json").write_text("{}")
    assert engine_identity(engine) != before
