"""How fast this machine makes faces, from raw frames to pasted frames, and where the time goes.

Imports neither Prefect, mediapipe nor ffmpeg: it runs on any machine with torch.
"""

import tempfile
import time
import wave
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from latentsync.engines.protocol import WINDOW_FRAMES, ClipContext, Engine, Session
from latentsync.faces.align import align_face, similarity_matrices, to_aligned
from latentsync.faces.alignment import Alignment
from latentsync.faces.paste import FacePaster
from latentsync.faces.points import JAW, LIPS_INNER, LIPS_OUTER
from latentsync.faces.track import TRACK_DTYPE
from latentsync.media.frames import Frame, PixelLayout
from latentsync.segments.faces import generate_faces
from latentsync.segments.source import Source

LAYOUT = PixelLayout(width=1080, height=1920, chroma_shift_x=1, chroma_shift_y=1, bit_depth=8)
FPS = Fraction(25)
SAMPLE_RATE_HZ = 16_000  # of a voice, as engines want it
PASTE_AHEAD = 32  # frames that may wait to be pasted
RAW_FRAMES = 32  # on disk, shown again and again
FACE_POINTS = np.array([[480, 640], [600, 640], [540, 720]], np.float64)  # brows and nose, source pixels
MOUTH_CENTRE = (540.0, 800.0)
LOOPS = ((LIPS_OUTER, 60.0, 26.0), (LIPS_INNER, 48.0, 8.0), (JAW, 150.0, 170.0))  # points, half width, half height


class BenchClip:
    """A raw 1080x1920 clip on disk with a face that sways a little, its track and its windows."""

    def __init__(self, folder: Path, frames: int, resolution_px: int, alignment: Alignment) -> None:
        self.frames, self.resolution_px, self.alignment = frames, resolution_px, alignment
        self._raw = np.memmap(folder / "clip.yuv", np.uint8, "w+", shape=(RAW_FRAMES, LAYOUT.frame_bytes))
        random = np.random.default_rng(1)
        for raw in self._raw:
            raw[:] = random.integers(16, 235, LAYOUT.frame_bytes, np.uint8)
        sway = 6 * np.sin(np.arange(frames) / 9)[:, None, None]
        self.track = np.zeros(frames, TRACK_DTYPE)
        self.track["face"] = True
        self.track["points"] = np.rint(FACE_POINTS + sway)
        self.track["matrix"] = similarity_matrices(self.track["points"], resolution_px, alignment)
        self.track["mouth"] = _mouth() + sway

    def read(self, start: int, end: int) -> Generator[Frame]:
        """Frames in memory of their own, as a decoder gives them."""
        for index in range(start, end):
            yield Frame.from_buffer(np.array(self._raw[index % RAW_FRAMES]), LAYOUT)

    def source(self) -> Source:
        """The clip as the generate stage sees it."""
        windows = [(start, min(start + WINDOW_FRAMES, self.frames)) for start in range(0, self.frames, WINDOW_FRAMES)]
        opacity = np.full(self.frames, 255, np.uint8)
        grid = np.array(windows, np.int32)
        return Source(self.read, np.arange, self.track, grid, opacity, self.resolution_px, self.alignment)

    def first(self, windows: int) -> "BenchClip":
        """Its first windows, as a clip."""
        short = copy(self)
        short.frames = min(windows * WINDOW_FRAMES, self.frames)
        short.track = self.track[: short.frames]
        return short

    def context(self) -> ClipContext:
        """The clip as engines see it."""
        mouth = [to_aligned(row["mouth"], row["matrix"], self.resolution_px) for row in self.track]
        return ClipContext(np.array(mouth, np.float32), self.face)

    def face(self, index: int) -> np.ndarray:
        """The aligned face of one frame."""
        with closing(self.read(index, index + 1)) as frames:
            return align_face(next(frames), self.track[index]["matrix"], self.resolution_px, self.alignment)


def random_voice(engine: Engine, frames: int, out: Path) -> None:
    """Write the engine's features of a voice that only hisses."""
    samples = np.random.default_rng(2).normal(0, 3000, int(frames / FPS * SAMPLE_RATE_HZ)).astype("<i2")
    wav = out.with_suffix(".wav")
    with wave.open(str(wav), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE_HZ, len(samples), "NONE", ""))
        file.writeframes(samples.tobytes())
    engine.extract_voice(wav, FPS, frames, out)


@dataclass(frozen=True)
class PathSpeed:
    """The whole path in its steady state: raw frame -> align -> engine -> paste."""

    frames_per_second: float
    window_ms: float
    first_window_seconds: float  # with loading, compiling and warming up


def measure_path(clip: BenchClip, session: Session, engine: Engine, warm_up_frames: int) -> PathSpeed:
    """Generate and paste all frames of the clip; pasting works beside the engine, as a render task does."""
    began, at = time.perf_counter(), []
    frames, pending = clip.read(0, clip.frames), deque()
    paster = FacePaster(clip.resolution_px, clip.alignment)
    with ThreadPoolExecutor(1) as pasting:
        for face in generate_faces(clip.source(), session, 0, clip.frames, engine.windows_per_batch):
            matrix = clip.track[len(at)]["matrix"]
            pending.append(pasting.submit(paster.paste, next(frames), face, matrix))
            at.append(time.perf_counter())
            if len(pending) > PASTE_AHEAD:
                pending.popleft().result()
        for pasted in pending:
            pasted.result()
    frames_per_second = steady_speed(at, warm_up_frames, engine.windows_per_batch * WINDOW_FRAMES)
    return PathSpeed(frames_per_second, 1000 * WINDOW_FRAMES / frames_per_second, at[0] - began)


@contextmanager
def bound_clip(engine: Engine, frames: int, alignment: Alignment) -> Iterator[tuple[BenchClip, Session]]:
    """A clip of its own, and the engine bound to a random voice for it."""
    with tempfile.TemporaryDirectory() as folder:
        clip = BenchClip(Path(folder), frames, engine.resolution_px, alignment)
        voice = Path(folder) / "voice.npy"
        random_voice(engine, frames, voice)
        yield clip, engine.session(voice, FPS, clip.context())


def steady_speed(at: Sequence[float], warm_up_frames: int, batch_frames: int) -> float:
    """Frames per second between the warm-up and the last batch, from the second at which each was handed on.

    A batch is handed on when the next one has been submitted, the last as soon as it is made: with it a short run
    would look faster than it was, by up to a tenth.
    """
    last = len(at) - batch_frames
    return (last - warm_up_frames) / (at[last - 1] - at[warm_up_frames - 1])


def time_frames(clip: BenchClip, frames: int = 48) -> dict[str, float]:
    """Milliseconds per frame of the parts that run on the CPU."""
    rows, paster = clip.track[:frames], FacePaster(clip.resolution_px, clip.alignment)
    faces = [clip.face(0)]

    def align() -> None:
        for frame, row in zip(clip.read(0, frames), rows, strict=True):
            faces[0] = align_face(frame, row["matrix"], clip.resolution_px, clip.alignment)

    def paste() -> None:
        for frame, row in zip(clip.read(0, frames), rows, strict=True):
            paster.paste(frame, faces[0], row["matrix"])

    def read() -> None:
        for _ in clip.read(0, frames):
            pass

    reading = median_ms(read, repeats=3)
    times = {"align": median_ms(align, 3) - reading, "paste": median_ms(paste, 3) - reading}
    return {name: ms / frames for name, ms in times.items()}


def median_ms(work: Callable[[], object], repeats: int, finish: Callable[[], object] = lambda: None) -> float:
    """Median wall time of ``work`` in ms after one warm-up; ``finish`` waits for what it started."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        finish()
        times.append(1000 * (time.perf_counter() - began))
    return float(np.median(times[1:]))


def _mouth() -> np.ndarray:
    loops: Iterator[np.ndarray] = (
        np.stack([-np.cos(angle) * width, np.sin(angle) * height], axis=-1) + MOUTH_CENTRE
        for points, width, height in LOOPS
        for angle in [np.linspace(0, np.pi if points is JAW else 2 * np.pi, len(points), endpoint=points is JAW)]
    )
    return np.concatenate(list(loops))
