"""The engine protocol: aligned faces and a voice in windows, new faces out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

WINDOW_FRAMES = 16  # frames the model sees together; the window grid of the whole timeline


@dataclass(frozen=True)
class FaceWindow:
    """Aligned faces of consecutive output frames ``[start, start + F)``, F <= WINDOW_FRAMES."""

    start: int
    faces: np.ndarray  # (F, R, R, 3) uint8 RGB, aligned
    mouth: np.ndarray  # (F, K, 2) float32: lips and jaw (faces.track.MOUTH_POINTS), aligned pixels


@dataclass(frozen=True, eq=False)
class ClipContext:
    """What an engine may look at beyond its window.

    All segments of a job that a process makes get the same object, by which an engine may keep what it finds out.
    """

    mouth: np.ndarray  # (M, K, 2) float32 in aligned pixels of consecutive source frames; NaN: no face
    read_face: Callable[[int], np.ndarray]  # row of ``mouth`` -> the aligned face of that frame (R, R, 3) uint8


class Session(Protocol):
    """An engine bound to one job's voice and clip."""

    def generate(self, batch: Sequence[FaceWindow]) -> list[np.ndarray]:
        """New faces, (F, R, R, 3) uint8 RGB for each window; depends on nothing but the window,
        its place on the timeline, the voice and the clip context."""
        ...


@runtime_checkable
class StreamingSession(Session, Protocol):
    """A session that can start on the next batch before it hands over the last."""

    def stream(self, batches: Iterable[Sequence[FaceWindow]]) -> Iterator[list[np.ndarray]]:
        """What ``generate`` makes of each batch, in order."""
        ...


class Engine(Protocol):
    """A way to make faces speak; loaded once per process and kept."""

    resolution_px: int
    windows_per_batch: int

    def preload(self) -> None:
        """Load now what the first use would otherwise wait for."""
        ...

    def extract_voice(self, audio: Path, fps: Fraction, frames: int, out: Path) -> None:
        """Write the engine's voice features of ``frames`` output frames to ``out`` (.npy)."""
        ...

    def session(self, voice: Path, fps: Fraction, clip: ClipContext) -> Session:
        """Bind the engine to a job."""
        ...
