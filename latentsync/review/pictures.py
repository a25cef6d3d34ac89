"""Pictures of a finished job for a person to judge: contact sheet, and mouth against voice."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from latentsync.faces.detectors.registry import load_detector
from latentsync.faces.points import LIPS_INNER, LIPS_OUTER
from latentsync.job import Job, Plan
from latentsync.media.decode import read_range, read_rgb
from latentsync.media.frames import Frame, region_rgb
from latentsync.media.loudness import FLOOR_DB, frame_loudness_db
from latentsync.media.probe import probe_video
from latentsync.records import VideoInfo
from latentsync.review.contact_sheet import contact_sheet
from latentsync.review.plots import plot_mouth_vs_voice

SHEET_FRAMES = 18
SHEET_MARGIN = 0.4  # of the face's height, shown around it
PLOT_FRAMES = 1500  # one minute at 25 fps: what a plot can show, and a detector can look at in seconds
DETECT_PX = 960


def show_job(job: Job, plan: Plan, output: Path, folder: Path) -> list[Path]:
    """Write ``contact-sheet.png`` and ``mouth-vs-voice.png`` of a finished file into ``folder``; returns both."""
    folder.mkdir(parents=True, exist_ok=True)
    sheet, plot = folder / "contact-sheet.png", folder / "mouth-vs-voice.png"
    result = probe_video(output, job.timeline.fps)
    contact_sheet(_pairs(job, plan, result), sheet)
    frames = min(job.timeline.voice_frames, PLOT_FRAMES)
    loudness = frame_loudness_db(job.audio, job.timeline.fps, frames) - FLOOR_DB
    plot_mouth_vs_voice(loudness, mouth_opening(result, frames), job.timeline.fps, plot)
    return [sheet, plot]


def mouth_opening(video: VideoInfo, frames: int) -> np.ndarray:
    """Gap between the inner lips over the height of the face in the first frames; NaN without a face."""
    opening = np.full(frames, np.nan)
    lower, upper = len(LIPS_OUTER) + LIPS_INNER.index(14), len(LIPS_OUTER) + LIPS_INNER.index(13)
    detector = load_detector("mediapipe")
    _, pictures = read_rgb(video, 0, frames, DETECT_PX)
    with closing(pictures):
        for index, picture in enumerate(pictures):
            if face := next((face for face in detector.detect(picture) if not face.defect), None):
                gap = np.linalg.norm(face.mouth[lower] - face.mouth[upper])
                opening[index] = gap / (face.box[3] - face.box[1])
    return opening


def _pairs(job: Job, plan: Plan, result: VideoInfo) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(label, source, result) of frames spread evenly, cut to the face where there is one."""
    track = plan.open_track()
    for frame in np.linspace(0, job.timeline.frames - 1, min(SHEET_FRAMES, job.timeline.frames)).astype(int):
        source = int(job.timeline.source_indices(frame, frame + 1)[0])
        row = track[min(source, len(track) - 1)]
        box = row["box"] if row["face"] else np.array([0, 0, job.video.width_px, job.video.height_px])
        label = f"{frame}  {float(frame / job.timeline.fps):.2f} s"
        yield label, _picture(job.video, source, box), _picture(result, int(frame), box)


def _picture(video: VideoInfo, index: int, box: np.ndarray) -> np.ndarray:
    with closing(read_range(video, index, index + 1)) as frames:
        return _cut(next(frames), box)


def _cut(frame: Frame, box: np.ndarray) -> np.ndarray:
    margin = SHEET_MARGIN * (box[3] - box[1])
    left, top = (max(0, int(edge - margin)) // 2 * 2 for edge in box[:2])
    right = min(frame.layout.width, int(box[2] + margin))
    bottom = min(frame.layout.height, int(box[3] + margin))
    return region_rgb(frame, left, top, right, bottom)
