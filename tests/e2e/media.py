"""A short clip to work on, and what a finished file shows and sounds like."""

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.conftest import Clip
from tests.synthetic import H264, ffmpeg

DEMO = Path(__file__).parents[2] / "demo" / "make_input.py"


def make_clip(folder: Path, seconds: float) -> Clip:
    """The first seconds of the demo's input."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, DEMO, folder], check=True, stdout=subprocess.DEVNULL)
    return cut(Clip(folder / "video.mp4", folder / "voice.wav"), folder, seconds)


def cut(clip: Clip, folder: Path, seconds: float) -> Clip:
    """The first seconds of a clip."""
    short = Clip(folder / "short.mp4", folder / "short.wav")
    ffmpeg("-i", clip.video, "-t", str(seconds), *H264, short.video)
    ffmpeg("-i", clip.voice, "-t", str(seconds), short.voice)
    return short


def decoded_digest(path: Path) -> str:
    """Digest of every decoded frame and sound packet with its time."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-map", "0", "-f", "framehash", "-hash", "md5", "-"]
    return hashlib.sha256(subprocess.run(command, check=True, capture_output=True).stdout).hexdigest()
