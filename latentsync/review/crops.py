"""The part of a frame around a face, as RGB."""

from contextlib import closing

import numpy as np

from latentsync.media.decode import read_range
from latentsync.media.frames import region_rgb
from latentsync.records import VideoInfo

MARGIN = 0.4  # of the face's height, shown around it


def face_picture(video: VideoInfo, index: int, row: np.ndarray) -> np.ndarray:
    """Frame ``index`` of ``video`` cut to the face of a track's ``row``; the whole picture without a face."""
    box = row["box"] if row["face"] else np.array([0, 0, video.width_px, video.height_px])
    with closing(read_range(video, index, index + 1)) as frames:
        frame = next(frames)
    margin = MARGIN * (box[3] - box[1])
    left, top = (max(0, int(edge - margin)) // 2 * 2 for edge in box[:2])
    right = min(frame.layout.width, int(box[2] + margin))
    bottom = min(frame.layout.height, int(box[3] + margin))
    return region_rgb(frame, left, top, right, bottom)
