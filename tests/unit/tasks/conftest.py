import pytest

from tests.conftest import Clip
from tests.synthetic import H264, ffmpeg


@pytest.fixture(scope="session")
def tiny_clip(demo_clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Half a second of a speaking face, and its voice."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny = Clip(folder / "tiny.mp4", folder / "tiny.wav")
    ffmpeg("-i", demo_clip.video, "-t", "0.5", *H264, tiny.video)
    ffmpeg("-i", demo_clip.voice, "-t", "0.5", tiny.voice)
    return tiny
