"""The hub's client keeps its settings from its import on, so what the environment says is tried in processes."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from latentsync.engines.diffusion.download import STAGING, fetch
from latentsync.engines.diffusion.published import RELEASES, PublishedFile, Release, ReleaseName, Repository
from latentsync.errors import InputError, TransientError
from tests.unit.engines.diffusion.hub import REVISION, Hub

pytestmark = pytest.mark.slow

UNET = os.urandom(25 * 2**20)
CONTENT = {
    "some/LatentSync/latentsync_unet.pt": UNET,
    "some/LatentSync/whisper/tiny.pt": b"whisper",
    "some/vae/config.json": b"{}",
    "some/vae/diffusion_pytorch_model.safetensors": b"vae",
}
ALL_BYTES = sum(map(len, CONTENT.values()))


def published(repository: str, folder: str = ".") -> Repository:
    files = [
        PublishedFile(name.removeprefix(f"{repository}/"), len(content), hashlib.sha256(content).hexdigest())
        for name, content in CONTENT.items()
        if name.startswith(f"{repository}/")
    ]
    return Repository(repository, REVISION, tuple(files), folder)


RELEASE = Release(512, (published("some/LatentSync"), published("some/vae", "vae")))
FETCH = f"""
import sys
from pathlib import Path
from latentsync.engines.diffusion.download import fetch
from latentsync.engines.diffusion.published import PublishedFile, Release, Repository
fetch({RELEASE!r}, Path(sys.argv[1]))
"""


@pytest.fixture
def hub():
    with Hub(dict(CONTENT)).running() as hub:
        yield hub


def environment(**variables: str) -> dict[str, str]:
    """Ours without what a developer's machine says about the hub."""
    kept = {name: value for name, value in os.environ.items() if not re.match(r"HF_|.*_PROXY|.*_proxy", name)}
    return {**kept, **variables}


def fetch_in_a_process(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", FETCH, str(folder)]
    return subprocess.run(command, env=environment(**variables), capture_output=True, text=True)


def assert_complete(folder: Path) -> None:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "latentsync_unet.pt",
        "whisper/tiny.pt",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "weights.json",
    }
    assert (folder / "latentsync_unet.pt").read_bytes() == UNET
    assert (folder / "vae" / "diffusion_pytorch_model.safetensors").read_bytes() == b"vae"
    assert json.loads((folder / "weights.json").read_text()) == {"resolution_px": 512}


def test_everything_arrives_and_nothing_else_is_left(hub, tmp_path):
    fetch(RELEASE, tmp_path / "new" / "weights", endpoint=hub.url)
    assert_complete(tmp_path / "new" / "weights")
    assert all(f"/resolve/{REVISION}/" in path for path, _ in hub.asked)


def test_a_second_fetch_asks_nothing(hub, tmp_path):
    fetch(RELEASE, tmp_path, endpoint=hub.url)
    hub.asked.clear()
    fetch(RELEASE, tmp_path, endpoint=hub.url)
    assert hub.asked == []
    assert_complete(tmp_path)


def test_a_file_that_was_changed_is_fetched_again_and_only_that(hub, tmp_path):
    fetch(RELEASE, tmp_path, endpoint=hub.url)
    (tmp_path / "whisper" / "tiny.pt").write_bytes(b"WHISPER")
    hub.sent_bytes = 0
    fetch(RELEASE, tmp_path, endpoint=hub.url)
    assert hub.sent_bytes == len(b"whisper")
    assert_complete(tmp_path)


def test_a_connection_that_breaks_off_is_taken_up_again(hub, tmp_path):
    hub.break_after_bytes = 11 * 2**20  # every time: who starts again never arrives
    fetch(RELEASE, tmp_path, endpoint=hub.url)
    assert_complete(tmp_path)


def test_a_killed_fetch_leaves_no_file_and_is_resumed_by_the_next(hub, tmp_path):
    hub.wait_after_bytes = 15 * 2**20
    staged = tmp_path / STAGING / hashlib.sha256(UNET).hexdigest()
    command = [sys.executable, "-c", FETCH, str(tmp_path)]
    with subprocess.Popen(command, env=environment(HF_ENDPOINT=hub.url), stderr=subprocess.DEVNULL) as fetching:
        assert hub.waiting.wait(60)
        while not (staged.is_file() and staged.stat().st_size):  # it writes in its own time
            with pytest.raises(subprocess.TimeoutExpired):
                fetching.wait(0.05)
        fetching.kill()
    assert {path.name for path in tmp_path.iterdir()} == {STAGING}
    kept, hub.wait_after_bytes = staged.stat().st_size, None
    fetch(RELEASE, tmp_path, endpoint=hub.url)
    assert hub.sent_bytes == ALL_BYTES - kept
    assert_complete(tmp_path)


def test_content_that_is_not_the_published_one_is_noticed(hub, tmp_path):
    hub.spoiled = True
    with pytest.raises(TransientError, match=r"latentsync_unet\.pt arrived with another sha256 .*repeat"):
        fetch(RELEASE, tmp_path, endpoint=hub.url)
    assert {path.name for path in tmp_path.iterdir()} == {STAGING}
    hub.spoiled = False
    fetch(RELEASE, tmp_path, endpoint=hub.url)
    assert_complete(tmp_path)


def test_another_size_is_refused_before_anything_is_sent(hub, tmp_path):
    hub.files["some/LatentSync/latentsync_unet.pt"] = b"another"
    with pytest.raises(InputError, match=rf"has 7 bytes, the published file {len(UNET)}: HF_ENDPOINT is no mirror"):
        fetch(RELEASE, tmp_path, endpoint=hub.url)
    assert hub.sent_bytes == 0


def test_files_in_the_hubs_storage_are_found(hub, tmp_path):
    hub.storage = True
    fetch(RELEASE, tmp_path, endpoint=hub.url)
    assert_complete(tmp_path)


def test_too_little_room_is_said_before_anything_is_sent(hub, tmp_path):
    huge = PublishedFile("latentsync_unet.pt", 10**18, "0" * 64)
    with pytest.raises(InputError, match=r"GB free, the weights need 1000000000\.0 GB more"):
        fetch(Release(512, (Repository("some/LatentSync", REVISION, (huge,)),)), tmp_path, endpoint=hub.url)
    assert hub.asked == []


def test_a_repository_without_the_file_is_an_input_error(hub, tmp_path):
    del hub.files["some/LatentSync/whisper/tiny.pt"]
    with pytest.raises(InputError, match=r"some/LatentSync/.*/whisper/tiny\.pt: not there, or not for your HF_TOKEN"):
        fetch(RELEASE, tmp_path, endpoint=hub.url)
    assert {path.name for path in tmp_path.iterdir()} == {STAGING}


def test_a_hub_in_trouble_and_one_that_is_away_are_passing_failures(hub, tmp_path):
    hub.failing = True
    with pytest.raises(TransientError, match=r"latentsync_unet\.pt .*500.*repeat"):
        fetch(RELEASE, tmp_path, endpoint=hub.url)
    with Hub({}).running() as stopped:
        away = stopped.url
    with pytest.raises(TransientError, match=r"latentsync_unet\.pt .*repeat"):
        fetch(RELEASE, tmp_path, endpoint=away)


def test_an_endpoint_that_is_no_address_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="correct HF_ENDPOINT or the proxy variables"):
        fetch(RELEASE, tmp_path, endpoint="http://hub:port")


def test_token_endpoint_and_proxy_are_those_of_the_environment(hub, tmp_path):
    hub.token = "hf_secret"
    done = fetch_in_a_process(
        tmp_path / "weights", HF_ENDPOINT="http://hub.invalid", HTTP_PROXY=hub.url, HF_TOKEN=hub.token
    )
    assert done.returncode == 0, done.stderr
    assert {"/".join(url.split("/")[:3]) for url, _ in hub.asked} == {"http://hub.invalid"}
    assert_complete(tmp_path / "weights")


def test_files_in_the_hubs_own_cache_are_copied(hub, tmp_path):
    snapshot = tmp_path / "home" / "hub" / "models--some--LatentSync" / "snapshots" / REVISION
    (snapshot / "whisper").mkdir(parents=True)
    (snapshot / "latentsync_unet.pt").write_bytes(UNET)
    (snapshot / "whisper" / "tiny.pt").write_bytes(b"broken!")
    done = fetch_in_a_process(tmp_path / "weights", HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert hub.sent_bytes == ALL_BYTES - len(UNET)
    assert_complete(tmp_path / "weights")


def test_a_wrong_token_is_an_input_error(hub, tmp_path, monkeypatch):
    hub.token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(InputError, match=r"not there, or not for your HF_TOKEN \(401"):
        fetch(RELEASE, tmp_path, endpoint=hub.url)


def test_the_command_fails_in_one_line(tmp_path):
    lipsync = shutil.which("lipsync", path=str(Path(sys.executable).parent))
    assert lipsync
    done = subprocess.run(
        [lipsync, "weights", "fetch", str(tmp_path / "weights")],
        env=environment(HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    commit = "c42c7e6c8e9c213626389fa7d9a3c444b8536353"
    assert re.fullmatch(
        rf"error: cannot fetch .*1\.6/resolve/{commit}/.*: HF_HUB_OFFLINE forbids it; unset it\n", done.stderr
    )
    assert done.stdout == ""


def test_published_files_are_pinned_to_commits_and_digests():
    assert set(RELEASES) == set(get_args(ReleaseName))
    for name, release in RELEASES.items():
        assert release.repositories[0].name == name
        for repository in release.repositories:
            assert re.fullmatch("[0-9a-f]{40}", repository.revision)
            assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in repository.files)
