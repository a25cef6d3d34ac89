from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client

from tests.conftest import Clip
from tests.synthetic import H264, ffmpeg

DEMO = Path(__file__).parents[2] / "demo" / "make_input.py"


@pytest.fixture(scope="session")
def clip(demo_clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """A second of a speaking face and its voice."""
    folder = tmp_path_factory.mktemp("clip")
    short = Clip(folder / "short.mp4", folder / "short.wav")
    ffmpeg("-i", demo_clip.video, "-t", "1", *H264, short.video)
    ffmpeg("-i", demo_clip.voice, "-t", "1", short.voice)
    return short


@pytest.fixture
def client(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client
