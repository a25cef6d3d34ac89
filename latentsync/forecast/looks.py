"""A look at a video now and then: which faces are there, and what is wrong with them."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

import cv2
import numpy as np

from latentsync.faces.detectors.registry import detector_spec
from latentsync.faces.face import Face, defect
from latentsync.faces.identity import Box
from latentsync.faces.shots import MIN_CHANGE, changes, signature
from latentsync.forecast.records import Stretch
from latentsync.media.container import describe
from latentsync.media.decode import read_samples
from latentsync.media.key_frames import read_key_frames
from latentsync.media.packets import walk_packets
from latentsync.records import VideoInfo
from latentsync.segments.silence import are_open

INTERVAL_SECONDS = Fraction(1, 2)
SAMPLES_MAX = 720  # of longer videos the samples lie further apart: of 2 h, 10 s; each takes some 25 ms of CPU
ALL_FRAMES_PIXELS = 4e9  # that may be decoded for it: 10 s of CPU; beyond, key frames are enough
GOP_SECONDS_MAX = 20  # between key frames that stand for all frames
SHARPNESS_PX = 128  # width that a face is brought to before its sharpness is measured
BLURRED = 25.0  # variance of the Laplacian; sharp faces have hundreds, a face enlarged from 40 px about 20
THUMBNAIL_PX = 112
THUMBNAIL_MARGIN = 0.25  # of the face, shown around it


@dataclass(frozen=True)
class Sighting:
    """A face that can be worked on, in source pixels, with a small picture (JPEG) of it."""

    box: Box
    sharpness: float
    picture: bytes
    is_open: bool = True  # its mouth


@dataclass(frozen=True)
class Look:
    """One sampled frame; ``trouble`` says what is wrong with its largest face, if anything."""

    seconds: float
    faces: list[Sighting]  # the largest first
    trouble: str
    change: float  # of the picture since the look before, in grey levels


@dataclass(frozen=True)
class Sampling:
    """How often to look, and whether key frames are enough."""

    interval_seconds: Fraction
    key_frames_only: bool


def choose_sampling(video: VideoInfo, frames: int) -> Sampling:
    """Two looks a second, or key frames where decoding all ``frames`` would take too long."""
    interval = max(INTERVAL_SECONDS, Fraction(ceil(frames / video.fps), SAMPLES_MAX))
    if frames * video.source_fps / video.fps * video.width_px * video.height_px <= ALL_FRAMES_PIXELS:
        return Sampling(interval, key_frames_only=False)
    found = describe(video.file.path)
    gop = walk_packets(found, found.video_stream()).longest_gop_seconds
    if video.sequential or gop > GOP_SECONDS_MAX:
        return Sampling(interval, key_frames_only=False)
    return Sampling(max(interval, gop.limit_denominator(100)), key_frames_only=True)


def look(video: VideoInfo, frames: int, sampling: Sampling, detector_name: str) -> Iterator[Look]:
    """Look at source frames ``[0, frames)``."""
    spec = detector_spec(detector_name)
    detector = spec.load()
    interval = sampling.interval_seconds
    read = read_key_frames if sampling.key_frames_only else read_samples
    scale, pictures = read(video, interval, frames, spec.long_side_px)
    before = None
    with closing(pictures):
        for index, rgb in enumerate(pictures):
            here = signature(rgb)
            change = float(changes(np.stack([here if before is None else before, here]))[1])
            if change >= MIN_CHANGE:
                detector.forget()
            before, faces = here, detector.detect(rgb)
            yield _look(float(index * interval), rgb, scale, faces, change)


def stretches(looks: list[Look], interval_seconds: float) -> list[Stretch]:
    """Neighbouring looks with the same trouble, as one stretch each."""
    found: list[Stretch] = []
    for number, here in enumerate(looks):
        follows = number and looks[number - 1].trouble == here.trouble
        start = found.pop().start_seconds if here.trouble and follows else here.seconds
        if here.trouble:
            found.append(Stretch(start_seconds=start, end_seconds=here.seconds + interval_seconds, what=here.trouble))
    return found


def _look(seconds: float, rgb: np.ndarray, scale: float, faces: list[Face], change: float) -> Look:
    judged = [(face, defect(replace(face, box=face.box / scale))) for face in faces]
    judged.sort(key=lambda pair: pair[0].box[0] - pair[0].box[2])
    usable = [_sighting(rgb, face, scale) for face, wrong in judged if not wrong]
    if not usable:
        return Look(seconds, [], judged[0][1] if judged and judged[0][1] else "no face", change)
    return Look(seconds, usable, "blurred" if usable[0].sharpness < BLURRED else "", change)


def _sighting(rgb: np.ndarray, found: Face, scale: float) -> Sighting:
    box, face = found.box, _cut(rgb, found.box, margin=0)
    height = max(1, round(SHARPNESS_PX * face.shape[0] / face.shape[1]))
    grey = cv2.cvtColor(cv2.resize(face, (SHARPNESS_PX, height), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    shown = _cut(rgb, box, THUMBNAIL_MARGIN)
    size = (max(1, round(THUMBNAIL_PX * shown.shape[1] / shown.shape[0])), THUMBNAIL_PX)
    small = cv2.cvtColor(cv2.resize(shown, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    left, top, right, bottom = (float(edge) / scale for edge in box)
    jpeg = cv2.imencode(".jpg", small)[1].tobytes()
    sharpness = float(cv2.Laplacian(grey, cv2.CV_64F).var())
    return Sighting((left, top, right, bottom), sharpness, jpeg, bool(are_open(found.mouth[None])[0]))


def _cut(rgb: np.ndarray, box: np.ndarray, margin: float) -> np.ndarray:
    """The part of a picture around a box, at least one pixel."""
    around = margin * (box[3] - box[1])
    left, top = (max(0, int(edge - around)) for edge in box[:2])
    return rgb[top : max(top + 1, int(box[3] + around)), left : max(left + 1, int(box[2] + around))]
