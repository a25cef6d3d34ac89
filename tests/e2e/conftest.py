import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

DEMO = Path(__file__).parents[2] / "demo" / "make_input.py"


@dataclass(frozen=True)
class Clip:
    """A video with a face and a voice: 640x640, 25 fps, 230 frames of voice."""

    video: Path
    voice: Path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    folder = tmp_path_factory.mktemp("clip")
    subprocess.run([sys.executable, DEMO, folder], check=True)
    return Clip(folder / "video.mp4", folder / "voice.wav")


@pytest.fixture(scope="session")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One workspace for the session, so that tests share what an earlier one has made."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield
