from pathlib import Path

import pytest

from tests.conftest import Clip
from tests.e2e.media import cut


@pytest.fixture(scope="session")
def clip(demo_clip: Clip) -> Clip:
    """250 frames of a speaking face, 230 frames of voice."""
    return demo_clip


@pytest.fixture(scope="session")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One workspace for the session, so that tests share what an earlier one has made."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def short_clip(demo_clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """75 frames of the same."""
    return cut(demo_clip, tmp_path_factory.mktemp("short"), 3)
