"""A short clip to work on, and what a finished file shows and sounds like."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.synthetic import H264, ffmpeg

DEMO = Path(__file__).parents[2] / "demo" / "make_input.py"


@dataclass(frozen=True)
class ShortClip:
    """A speaking face, 640x640 at 25 fps, and its voice."""

    video: Path
    voice: Path


def make_clip(folder: Path, seconds: float) -> ShortClip:
    """The first seconds of the demo's input."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, DEMO, folder], check=True, stdout=subprocess.DEVNULL)
    clip = ShortClip(folder / "short.mp4", folder / "short.wav")
    ffmpeg("-i", folder / "video.mp4", "-t", str(seconds), *H264, clip.video)
    ffmpeg("-i", folder / "voice.wav", "-t", str(seconds), clip.voice)
    return clip


def decoded_digest(path: Path) -> str:
    """Digest of every decoded frame and sound packet with its time."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-map", "0", "-f", "framehash", "-hash", "md5", "-"]
    return hashlib.sha256(subprocess.run(command, check=True, capture_output=True).stdout).hexdigest()
