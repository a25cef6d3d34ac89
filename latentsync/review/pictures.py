"""Pictures of a finished job for a person to judge: contact sheet, and mouth against voice."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from latentsync.faces.detectors.registry import load_detector
from latentsync.faces.points import LIPS_INNER, LIPS_OUTER
from latentsync.job import Job, Plan
from latentsync.media.decode import read_rgb
from latentsync.media.loudness import FLOOR_DB
from latentsync.media.probe import probe_video
from latentsync.records import VideoInfo
from latentsync.review.contact_sheet import contact_sheet
from latentsync.review.crops import face_picture
from latentsync.review.files import FINDINGS, MOUTH, SHEET
from latentsync.review.findings import find
from latentsync.review.plots import plot_mouth_vs_voice
from latentsync.review.previews import write_previews
from latentsync.storage.atomic import write_whole

SHEET_FRAMES = 18
PLOT_FRAMES = 1500  # one minute at 25 fps: what a plot can show, and a detector can look at in seconds
DETECT_PX = 960


def show_job(job: Job, plan: Plan, output: Path, folder: Path) -> list[Path]:
    """Write what shows a finished file into ``folder``: two pictures, which it returns, previews and findings."""
    folder.mkdir(parents=True, exist_ok=True)
    sheet, plot = folder / SHEET, folder / MOUTH
    result = probe_video(output, job.timeline.fps)
    contact_sheet(_pairs(job, plan, result), sheet)
    loudness = plan.open_loudness()[slice(*plan.span)]
    opening = mouth_opening(result, min(len(loudness), PLOT_FRAMES))
    plot_mouth_vs_voice(loudness[: len(opening)] - FLOOR_DB, opening, job.timeline.fps, plot)
    write_previews(job, plan.span, output, folder)
    write_whole(folder / FINDINGS, find(job, plan, loudness, opening).model_dump_json().encode())
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
    start, end = plan.span
    for frame in np.linspace(start, end - 1, min(SHEET_FRAMES, end - start)).astype(int):
        source = int(job.timeline.source_indices(frame, frame + 1)[0])
        row = track[min(source, len(track) - 1)]
        label = f"{frame}  {float(frame / job.timeline.fps):.2f} s"
        yield label, face_picture(job.video, source, row), face_picture(result, int(frame) - start, row)
