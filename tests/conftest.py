"""Clips that many tests read; each is made once per run and never changed."""

import os
from pathlib import Path

# Prefect's servers in the tests call nobody; set before Prefect reads its settings.
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"
if not Path("/dev/nvidiactl").exists():
    os.environ["TRITON_INTERPRET"] = "1"  # kernels without a GPU; set before anything imports Triton

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prefect.testing.utilities import prefect_test_harness

from tests.synthetic import H264, make_sound, make_video, tone


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for clips that are shared by all tests of a run."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def numbered(clips: Path) -> Path:
    """100 numbered frames of 320x240 at 25 frames/s with B-frames, a key frame every second, and a tone."""
    coding = ["-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-c:a", "aac"]
    return make_video(clips / "numbered.mp4", 100, 25, coding, before=tone(4.0))


@pytest.fixture(scope="session")
def silent(clips: Path) -> Path:
    """50 numbered frames without a sound track."""
    return make_video(clips / "silent.mp4", 50, 25, H264)


@pytest.fixture(scope="session")
def voice(clips: Path) -> Path:
    """3 s at 48 kHz stereo, with a click at every full second."""
    return make_sound(clips / "voice.wav", 3 * 48_000, 48_000, 2)


@dataclass(frozen=True)
class Clip:
    """A speaking face, 640x640 at 25 fps, and a voice."""

    video: Path
    voice: Path


@pytest.fixture(scope="session")
def demo_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """The demo's input: 250 frames, 230 frames of voice."""
    folder = tmp_path_factory.mktemp("demo")
    maker = Path(__file__).parents[1] / "demo" / "make_input.py"
    subprocess.run([sys.executable, maker, folder], check=True)
    return Clip(folder / "video.mp4", folder / "voice.wav")


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server of its own for all tests of a run."""
    with prefect_test_harness(server_startup_timeout=120):
        yield
