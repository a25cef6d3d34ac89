from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client

from tests.conftest import Clip
from tests.e2e.media import cut

DEMO = Path(__file__).parents[2] / "demo" / "make_input.py"


@pytest.fixture(scope="session")
def clip(demo_clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """A second of a speaking face and its voice."""
    return cut(demo_clip, tmp_path_factory.mktemp("clip"), 1)


@pytest.fixture
def client(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client
