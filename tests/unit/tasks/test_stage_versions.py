"""What stages compute from made-up input, by their version.

When one fails and the new figures are better, raise the stage's version, or finished work of before is used again;
then write its new golden file: `np.save(golden_path(stage), figures())`.
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from latentsync.faces.align import align_face
from latentsync.faces.alignment import LATENTSYNC_ALIGNMENT
from latentsync.faces.detect import DETECTION_DTYPE
from latentsync.faces.paste import FacePaster
from latentsync.faces.track import build_track, runs
from latentsync.media.frames import Frame, PixelLayout
from latentsync.segments.crossfade import crossfade
from latentsync.segments.plan import plan_segments
from latentsync.segments.score import jitter
from latentsync.segments.silence import is_speaking, must_move, paste_opacity
from latentsync.segments.sync import lip_leak, sync
from latentsync.segments.windows import cover
from tasks import prepare, segments
from tasks.stages import Stage
from tests.unit.faces.face_scene import TEMPLATE

FRAMES, FPS, SIZE_PX = 120, Fraction(25), 128
TIME = np.arange(FRAMES)


def track_figures(folder: Path) -> np.ndarray:
    """Matrix, face and shot of each frame of a swaying head that is lost twice, with a cut."""
    rows = np.zeros(FRAMES, DETECTION_DTYPE)
    rows["centre"], rows["signature"] = (640, 360), np.where(TIME < 80, 60, 190)[:, None, None]
    for frame in [frame for frame in range(FRAMES) if frame not in (20, 21, *range(50, 60))]:
        face, (x, y) = rows["faces"][frame, 0], 640 + 9 * np.sin(frame * np.array([0.3, 0.5]))
        face["box"], face["score"] = (x - 90, y - 110, x + 90, y + 110), 0.9
        face["points"] = (TEMPLATE - TEMPLATE[2]) * 2.4 + (x, y)
        rows["count"][frame] = 1
    np.save(folder / "chunk.npy", rows)
    build_track([folder / "chunk.npy"], "largest", SIZE_PX, LATENTSYNC_ALIGNMENT, folder / "track.npy")
    track = np.load(folder / "track.npy")
    assert len(runs(track, TIME)) == 3
    return np.concatenate([track["matrix"].reshape(FRAMES, 6), track["face"][:, None], track["shot"][:, None]], axis=1)


def loudness_db() -> np.ndarray:
    """Speech with pauses."""
    return np.where(TIME % 40 < 26, -20 + 6 * np.sin(TIME * 0.9), -70)


def plan_figures(_folder: Path) -> np.ndarray:
    """Windows, opacity and segments of a clip with two unbroken ranges."""
    ranges = [(3, 70), (74, FRAMES)]
    windows = cover(ranges, must_move(loudness_db(), TIME % 50 < 9, FPS), 5)
    opacity = paste_opacity(ranges, windows, FRAMES, FPS)
    cut = [(one.index, one.start, one.end) for one in plan_segments(FRAMES, 25, 8)]
    return np.concatenate([np.ravel(windows), opacity, np.ravel(cut)]).astype(float)


def render_figures(_folder: Path) -> np.ndarray:
    """Block means of a frame with a crossfaded face in it."""
    layout = PixelLayout(width=256, height=192, chroma_shift_x=1, chroma_shift_y=1, bit_depth=8)
    y, x = np.mgrid[: layout.frame_bytes // 64, :64]
    raw = (110 + 50 * np.sin(x / 9) + 40 * np.cos(y / 40)).astype(np.uint8).ravel()
    matrix = np.array([[0.9, 0.1, -40], [-0.1, 0.9, -10.0]])
    face = align_face(Frame.from_buffer(raw.copy(), layout), matrix, SIZE_PX)
    new = crossfade(face, 255 - face, 5, 8)
    pasted = FacePaster(SIZE_PX).paste(Frame.from_buffer(raw.copy(), layout), new, matrix, 0.8)
    return np.concatenate(
        [plane[:96, :96].reshape(12, 8, 12, 8).mean(axis=(1, 3)).ravel() for plane in pasted.planes()]
    )


def score_figures(_folder: Path) -> np.ndarray:
    """Offset, correlation, leak and jitter of a mouth that is two frames late."""
    loudness = loudness_db()
    speaking, opening = is_speaking(loudness), np.roll(10 ** (loudness / 20), 2)
    offset, correlation = sync(loudness, speaking, opening) or (99, 0.0)
    points = np.stack([np.sin(TIME * 0.7), np.cos(TIME * 1.1)], axis=-1)[:, None]
    return np.array([offset, correlation, lip_leak(speaking, opening, 2) or 0.0, jitter(points) or 0.0])


FIGURES: dict[Stage, tuple[Callable[[Path], np.ndarray], float]] = {  # and by how much CPUs may differ
    prepare.track: (track_figures, 1e-6),
    prepare.plan: (plan_figures, 0),
    segments.render: (render_figures, 0.3),  # grey levels
    segments.score: (score_figures, 1e-6),
}


def golden_path(stage: Stage) -> Path:
    return Path(__file__).parents[2] / "parity" / f"{stage.name}_version_{stage.version}.npy"


@pytest.mark.parametrize("stage", FIGURES, ids=lambda stage: stage.name)
def test_equal_input_gives_what_this_version_gave(stage: Stage, tmp_path: Path) -> None:
    figures, tolerance = FIGURES[stage]
    np.testing.assert_allclose(figures(tmp_path), np.load(golden_path(stage)), rtol=1e-6, atol=tolerance)
