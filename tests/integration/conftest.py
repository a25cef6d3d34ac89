import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.testing.utilities import prefect_test_harness

from tests.synthetic import H264, ffmpeg

DEMO = Path(__file__).parents[2] / "demo" / "make_input.py"


@dataclass(frozen=True)
class Clip:
    """A second of a speaking face, 640x640 at 25 fps, and its voice."""

    video: Path
    voice: Path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    folder = tmp_path_factory.mktemp("clip")
    subprocess.run([sys.executable, DEMO, folder], check=True)
    short = Clip(folder / "short.mp4", folder / "short.wav")
    ffmpeg("-i", folder / "video.mp4", "-t", "1", *H264, short.video)
    ffmpeg("-i", folder / "voice.wav", "-t", "1", short.voice)
    return short


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def client(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client
