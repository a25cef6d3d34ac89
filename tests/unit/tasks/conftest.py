import pytest

from tests.conftest import Clip
from tests.e2e.media import cut


@pytest.fixture(scope="session")
def tiny_clip(demo_clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Half a second of a speaking face, and its voice."""
    return cut(demo_clip, tmp_path_factory.mktemp("tiny"), 0.5)
