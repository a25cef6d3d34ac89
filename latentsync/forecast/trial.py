"""The job in miniature: some frames of its own video through its own stages, and what they cost.

CPU seconds of all processes, not wall time: they stay true beside other work.
"""

import resource
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from latentsync.engines.protocol import WINDOW_FRAMES, ClipContext, FaceWindow, Session
from latentsync.engines.registry import is_direct, load_engine, resolution_px, uses_gpu
from latentsync.faces.align import align_face, to_aligned
from latentsync.faces.detect import find_faces
from latentsync.faces.detectors.registry import detector_spec
from latentsync.faces.track import build_track, runs
from latentsync.job import Job
from latentsync.media.decode import read_range, read_rgb
from latentsync.media.encode import FaceClipWriter, VideoClipWriter
from latentsync.media.frames import Frame
from latentsync.records import Artefact, ClipFile, Segment
from latentsync.segments.direct import direct_frames
from latentsync.segments.faces import generate_faces
from latentsync.segments.lips import looked_at
from latentsync.segments.plan import segments_of
from latentsync.segments.render import render_frames
from latentsync.segments.score import look_at_clip, rendered_video
from latentsync.segments.source import Source
from latentsync.segments.voice import extract_voice
from latentsync.segments.windows import cover
from latentsync.storage.mapped import open_array

FEW_FRAMES, FRAMES = WINDOW_FRAMES, 4 * WINDOW_FRAMES


@dataclass(frozen=True)
class StageCost:
    """CPU seconds of one task of a stage, however short, and of each of its frames."""

    task_seconds: float
    frame_seconds: float

    def of(self, tasks: int, frames: float) -> float:
        """CPU seconds of so many tasks with so many frames in all."""
        return tasks * self.task_seconds + frames * self.frame_seconds


@dataclass(frozen=True)
class Trial:
    """What the stages cost, and what their files take per frame."""

    frames: int
    find: StageCost
    generate: StageCost  # without a GPU's part; nothing for an engine that is direct
    render: StageCost
    score: StageCost  # nothing where the gate is off; without SyncNet
    voice_seconds: float  # of the whole job
    face_bytes: float
    render_bytes: float


class _Unchanged:
    """A session that gives the faces back: for engines whose own work is another machine's."""

    def generate(self, batch: Sequence[FaceWindow]) -> list[np.ndarray]:
        return [window.faces for window in batch]


def try_stages(job: Job, start: int, folder: Path) -> Trial:
    """Take up to ``FRAMES`` source frames from ``start``, which shows a usable face, through the stages.

    A few frames go first, twice: once to warm up, and once because what they cost beyond their share is
    what each task costs.
    """
    available = job.video.frames - start
    few, many = (_Stretch(job, start, min(frames, available), folder) for frames in (FEW_FRAMES, FRAMES))
    if not uses_gpu(job.settings.engine):
        load_engine(job.settings.engine)
    voice = _cpu(few.voice)
    steps = ("find", "generate", "render", "score")
    _, less, more = ([_cpu(getattr(source, step)) for step in steps] for source in (few, few, many))
    costs = [_cost(few.frames, one, many.frames, other) for one, other in zip(less, more, strict=True)]
    if few.direct:
        costs[steps.index("generate")] = StageCost(0.0, 0.0)
    face_bytes, render_bytes = (file.stat().st_size / many.frames for file in (many.faces, many.rendered))
    return Trial(many.frames, *costs, voice_seconds=voice, face_bytes=face_bytes, render_bytes=render_bytes)


def _cost(few: int, less: float, many: int, more: float) -> StageCost:
    """From the CPU seconds of few and of many frames."""
    if many == few:
        return StageCost(0.0, more / many)
    frame = max(more - less, 0.0) / (many - few)
    return StageCost(max(less - few * frame, 0.0), frame)


class _Stretch:
    """``frames`` frames from ``start`` of the job's video as a small job of their own, counted from 0."""

    def __init__(self, job: Job, start: int, frames: int, folder: Path) -> None:
        self.job, self.start, self.frames = job, start, frames
        self.resolution_px, self.direct = resolution_px(job.settings.engine), is_direct(job.settings.engine)
        self.alignment = job.settings.engine.spec.alignment
        self.chunk, self.track = folder / "faces.npy", folder / "track.npy"
        self.features, self.faces, self.rendered = folder / "voice.npy", folder / "faces.mkv", folder / "render.mp4"
        self.spec = detector_spec(job.settings.faces.detector)
        self.detector = self.spec.load()

    def find(self) -> None:
        scale, pictures = read_rgb(self.job.video, self.start, self.start + self.frames, self.spec.long_side_px)
        with closing(pictures):
            find_faces(pictures, scale, self.detector, self.chunk)
        choice, video = self.job.settings.faces.target, str(self.job.video.file.path)
        build_track([self.chunk], choice, self.resolution_px, self.alignment, self.track, video)

    def voice(self) -> None:
        if not uses_gpu(self.job.settings.engine):
            extract_voice(self.job, load_engine(self.job.settings.engine), self.features)

    def generate(self) -> None:
        if self.direct:  # no such stage: only what the first segment does for all others
            self.faces.touch()
            with closing(direct_frames(self._source(), self._session, 0, 1)) as frames:
                next(frames)
            return
        with FaceClipWriter(self.faces, self.resolution_px, self.frames) as clip:
            for face in generate_faces(self._source(), self._session, 0, self.frames, 1):
                clip.write(face)

    def render(self) -> None:
        with VideoClipWriter(self.rendered, self.job.video, self.frames, self.job.settings.encode) as out:
            for frame in self._finished():
                out.write(frame)

    def score(self) -> None:
        if self.job.settings.score.gate == "off":
            return
        segment = self._segment
        clip = rendered_video(self.job, segment, Artefact.of(self.rendered))
        share = looked_at(segments_of(self.job)[0].frames).mean()
        looked = np.arange(self.frames) < share * self.frames
        look_at_clip(self._source(), clip, segment, self.frames, lambda _: None, (0, FEW_FRAMES), looked)

    @property
    def _segment(self) -> Segment:
        return Segment(index=0, start=0, end=self.frames, clip_end=self.frames)

    def _finished(self) -> Generator[Frame]:
        source = self._source()
        if self.direct:
            return direct_frames(source, self._session, 0, self.frames)
        clip = ClipFile(file=Artefact.of(self.faces), start=0, end=self.frames)
        return render_frames(source, self._segment, clip, None)

    def _read(self, start: int, end: int) -> Generator[Frame]:
        return read_range(self.job.video, self.start + start, self.start + end)

    def _source(self) -> Source:
        track = open_array(self.track)
        grid = cover(runs(track, np.arange(self.frames)), np.ones(self.frames, bool), 1)
        opacity = np.where(track["face"], np.uint8(255), np.uint8(0))
        return Source(self._read, np.arange, track, grid, opacity, self.resolution_px, self.alignment)

    @cached_property
    def _session(self) -> Session:
        if uses_gpu(self.job.settings.engine):
            return _Unchanged()
        size, track = self.resolution_px, open_array(self.track)
        mouth = np.full(track["mouth"].shape, np.nan, np.float32)
        for index in np.flatnonzero(track["face"]):
            mouth[index] = to_aligned(track["mouth"][index], track["matrix"][index], size)

        def read_face(index: int) -> np.ndarray:
            with closing(self._read(index, index + 1)) as frames:
                return align_face(next(frames), track[index]["matrix"], size, self.alignment)

        clip = ClipContext(mouth=mouth, read_face=read_face)
        return load_engine(self.job.settings.engine).session(self.features, self.job.timeline.fps, clip)


def _cpu(work: Callable[[], object]) -> float:
    """CPU seconds of ``work``, in this process and in the programs that it ran."""
    before = _cpu_so_far()
    work()
    return _cpu_so_far() - before


def _cpu_so_far() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
