"""Speed of decoding and encoding, for `lipsync bench`."""

import tempfile
import time
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np

from latentsync.media.decode import read_range
from latentsync.media.encode import VideoClipWriter
from latentsync.media.frames import Frame
from latentsync.media.pixels import layout_of
from latentsync.media.probe import probe_video
from latentsync.records import Artefact, VideoInfo
from latentsync.settings import EncodeSettings

FRAMES = 100


def time_ffmpeg() -> dict[str, float]:
    """Frames per second of encoding a moving 1080x1920 picture with the default settings, and decoding it."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        began = time.perf_counter()
        _encode(clip)
        encoded = time.perf_counter()
        with closing(read_range(probe_video(clip, Fraction(25)), 0, FRAMES)) as frames:
            for _ in frames:
                pass
        return {"encode": FRAMES / (encoded - began), "decode": FRAMES / (time.perf_counter() - encoded)}


def _encode(out: Path) -> None:
    seed = out.with_suffix(".seed")
    seed.touch()
    video = VideoInfo(
        file=Artefact.of(seed), container="", codec="", width_px=1080, height_px=1920, fps=Fraction(25),
        source_fps=Fraction(25), frames=FRAMES, pix_fmt="yuv420p", color_range="tv", color_space="bt709",
        color_primaries="bt709", color_transfer="bt709", sample_aspect_ratio=Fraction(1), rotation_degrees=0,
        has_audio=False, sequential=False,
    )  # fmt: skip
    layout = layout_of(video)
    noise = np.random.default_rng(3).normal(128, 4, layout.frame_bytes + 8 * FRAMES).astype(np.uint8)
    shade = np.resize(np.linspace(0, 60, 1080), layout.frame_bytes).astype(np.uint8)
    with VideoClipWriter(out, video, FRAMES, EncodeSettings()) as writer:
        for index in range(FRAMES):
            moving = noise[8 * index : 8 * index + layout.frame_bytes]
            writer.write(Frame.from_buffer(np.ascontiguousarray(moving + shade), layout))
