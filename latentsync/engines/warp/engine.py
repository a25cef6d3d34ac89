"""The warp engine: lips and jaw of the source face driven by the voice's loudness and formants.

No weights, no GPU: a preview. Two smooth fields meet at the line between the lips, one carries the
upper lip, the other the lower lip and the chin; what opens between them is the mouth's interior.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from latentsync.engines.protocol import ClipContext, FaceWindow
from latentsync.engines.warp.canvas import WarpCanvas
from latentsync.engines.warp.mouth_interior import Interior
from latentsync.engines.warp.mouth_shape import RestingMouth, measure, resting_mouth, target_shape
from latentsync.engines.warp.spec import RESOLUTION_PX, WarpSettings, rows_heard
from latentsync.engines.warp.voice import decode_mouth, extract_mouth
from latentsync.storage.mapped import open_array

MIN_OWN_GAP = 0.12  # of half the mouth's width: below this a clip's mouth shows no inside


class WarpEngine:
    """Engine that needs nothing but the clip."""

    resolution_px = RESOLUTION_PX
    windows_per_batch = 1

    def __init__(self, settings: WarpSettings) -> None:
        self.settings = settings
        self._canvas = WarpCanvas.of_size(self.resolution_px)

    def preload(self) -> None:
        """There is nothing to load."""

    def extract_voice(self, audio: Path, fps: Fraction, frames: int, out: Path) -> None:
        """Write (frames, 2) int16 rows of opening and width; ``audio``: 16 kHz mono 16-bit WAV."""
        extract_mouth(audio, fps, frames, out)

    def session(self, voice: Path, fps: Fraction, clip: ClipContext) -> "WarpSession":
        """Bind to a voice (from ``extract_voice``) and a clip."""
        return WarpSession(self._canvas, open_array(voice), clip, fps, self.settings.strength)


class WarpSession:
    """One job's voice and clip; each face depends on itself, its place and the clip's statistics."""

    def __init__(
        self, canvas: WarpCanvas, voice: np.ndarray, clip: ClipContext, fps: Fraction, strength: float
    ) -> None:
        self._canvas = canvas
        self._voice = voice
        self._clip = clip
        self._fps = fps
        self._strength = strength
        self._rest = _rest_of(clip)

    def generate(self, batch: Sequence[FaceWindow]) -> list[np.ndarray]:
        """New faces (F, 512, 512, 3) uint8 RGB for each window; faces without landmarks stay."""
        return [self._window(window) for window in batch]

    def _window(self, window: FaceWindow) -> np.ndarray:
        faces = window.faces.copy()
        for position, (face, mouth) in enumerate(zip(faces, window.mouth, strict=True), window.start):
            if self._rest is not None and np.isfinite(mouth).all():
                self._speak(face, mouth, position, self._rest)
        return faces

    def _speak(self, face: np.ndarray, mouth: np.ndarray, position: int, rest: RestingMouth) -> None:
        own = measure(mouth)
        target = target_shape(own, rest, *self._sound(position))
        self._canvas.draw(face, own, target, self._interior)

    def _sound(self, position: int) -> tuple[float, float]:
        """Opening and width at an output frame; closed after the voice's end."""
        row = rows_heard(position, self._fps).start
        if row >= len(self._voice):
            return 0.0, 0.0
        opening, width = decode_mouth(self._voice[row])
        return float(opening) * self._strength, float(width)

    @cached_property
    def _interior(self) -> Interior:
        assert self._rest is not None
        index = self._rest.widest_frame
        face = self._clip.read_face(index)
        if self._rest.widest_gap < MIN_OWN_GAP:
            return Interior.painted(face)
        return Interior.of_face(face, measure(self._clip.mouth[index]))


@lru_cache(maxsize=1)  # every segment asks: 0.2 s for two hours
def _rest_of(clip: ClipContext) -> RestingMouth | None:
    return resting_mouth(clip.mouth)
