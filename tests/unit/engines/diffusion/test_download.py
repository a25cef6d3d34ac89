import json
import os

import pytest

from latentsync.engines.diffusion.download import VAE_REPOSITORY, fetch
from latentsync.errors import InputError, TransientError
from tests.unit.engines.diffusion.hub import Hub

REPOSITORY = "ByteDance/LatentSync-1.6"
UNET = os.urandom(25 * 2**20)
FILES = {
    f"{REPOSITORY}/latentsync_unet.pt": UNET,
    f"{REPOSITORY}/whisper/tiny.pt": b"whisper",
    f"{VAE_REPOSITORY}/config.json": b"{}",
    f"{VAE_REPOSITORY}/diffusion_pytorch_model.safetensors": b"vae",
}


@pytest.fixture
def hub():
    with Hub(dict(FILES)).running() as hub:
        yield hub


def test_everything_arrives_and_the_resolution_is_pinned(hub, tmp_path):
    seen = []
    fetch(REPOSITORY, tmp_path, endpoint=hub.url, on_progress=lambda *report: seen.append(report))
    assert (tmp_path / "latentsync_unet.pt").read_bytes() == UNET
    assert (tmp_path / "whisper" / "tiny.pt").read_bytes() == b"whisper"
    assert (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").read_bytes() == b"vae"
    assert json.loads((tmp_path / "weights.json").read_text()) == {"resolution_px": 512}
    assert [done for name, done, total in seen if name == "latentsync_unet.pt"][-1] == len(UNET)
    assert {total for name, _, total in seen if name == "latentsync_unet.pt"} == {len(UNET)}


def test_a_second_fetch_downloads_nothing(hub, tmp_path):
    fetch(REPOSITORY, tmp_path, endpoint=hub.url)
    hub.sent_bytes = 0
    fetch(REPOSITORY, tmp_path, endpoint=hub.url)
    assert hub.sent_bytes == 0


def test_a_connection_that_breaks_off_is_taken_up_again(hub, tmp_path):
    hub.break_after_bytes = 11 * 2**20
    fetch(REPOSITORY, tmp_path, endpoint=hub.url)
    assert (tmp_path / "latentsync_unet.pt").read_bytes() == UNET
    assert hub.sent_bytes == sum(map(len, FILES.values()))


def test_other_content_under_the_same_name_is_noticed(hub, tmp_path):
    hub.wrong_digest = True
    with pytest.raises(TransientError, match="not what the hub has"):
        fetch(REPOSITORY, tmp_path, endpoint=hub.url)
    assert not list(tmp_path.rglob("*unet*"))


def test_a_repository_without_the_file_is_an_input_error(hub, tmp_path):
    del hub.files[f"{REPOSITORY}/whisper/tiny.pt"]
    with pytest.raises(InputError, match=r"LatentSync-1\.6/.*/whisper/tiny\.pt: it is not there"):
        fetch(REPOSITORY, tmp_path, endpoint=hub.url)
    assert not (tmp_path / "weights.json").exists()


def test_another_repository_is_refused_with_the_choices(tmp_path):
    with pytest.raises(InputError, match=r"Byte/Other is no LatentSync repository.*LatentSync-1\.5 or"):
        fetch("Byte/Other", tmp_path)


def test_a_hub_in_trouble_is_a_passing_failure(hub, tmp_path):
    hub.failing = True
    with pytest.raises(TransientError, match=r"latentsync_unet\.pt .*500.*repeat"):
        fetch(REPOSITORY, tmp_path, endpoint=hub.url)


def test_an_interrupted_fetch_is_resumed_by_the_next(hub, tmp_path):
    def interrupt(name: str, done: int, _: int) -> None:
        if done > 15 * 2**20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(REPOSITORY, tmp_path, endpoint=hub.url, on_progress=interrupt)
    (partial,) = tmp_path.glob(".latentsync_unet.pt.*.part")
    kept, hub.sent_bytes = partial.stat().st_size, 0
    fetch(REPOSITORY, tmp_path, endpoint=hub.url)
    assert kept > 14 * 2**20
    assert hub.sent_bytes == sum(map(len, FILES.values())) - kept
    assert (tmp_path / "latentsync_unet.pt").read_bytes() == UNET
    assert not list(tmp_path.rglob("*.part"))


def test_a_server_that_is_away_is_a_passing_failure(tmp_path):
    with Hub({}).running() as hub:
        away = hub.url
    with pytest.raises(TransientError, match=r"latentsync_unet\.pt .*repeat"):
        fetch(REPOSITORY, tmp_path, endpoint=away)


def test_files_in_the_hubs_storage_are_found_and_checked_by_the_hubs_digest(hub, tmp_path):
    hub.storage = True
    fetch(REPOSITORY, tmp_path, endpoint=hub.url)
    assert (tmp_path / "latentsync_unet.pt").read_bytes() == UNET
    hub.wrong_digest = True
    (tmp_path / "latentsync_unet.pt").unlink()
    with pytest.raises(TransientError, match="not what the hub has"):
        fetch(REPOSITORY, tmp_path, endpoint=hub.url)
