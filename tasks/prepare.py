"""From files to a plan: probe, voice, find faces, track, plan."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from latentsync.engines.protocol import WINDOW_FRAMES
from latentsync.engines.registry import engine_on_gpu, resolution_px
from latentsync.faces.detect import find_faces as detect_faces
from latentsync.faces.detectors.registry import detector_spec
from latentsync.faces.track import build_track, runs, windows
from latentsync.job import Job, Plan
from latentsync.media.conform import prepare_video
from latentsync.media.decode import read_rgb
from latentsync.media.probe import probe_audio
from latentsync.media.timeline import Timeline, plan_timeline
from latentsync.publishing.writer import check_destination
from latentsync.records import Artefact, AudioInfo, VideoInfo
from latentsync.segments.plan import aligned_mouths, plan_segments
from latentsync.segments.voice import extract_voice
from latentsync.settings import Settings
from latentsync.storage.download import local_file
from latentsync.storage.fs import UrlLimits
from latentsync.storage.locations import normalised
from latentsync.storage.workspace import Workspace
from tasks import keys
from tasks.making import make_file
from tasks.policy import step
from tasks.refusals import refuse_bad_request
from tasks.steps import frame_counter, note

Info = TypeVar("Info", VideoInfo, AudioInfo)

CHUNK_FRAMES = 500  # source frames per task that finds faces
LEAST_BYTES_PER_PIXEL = 0.005  # of the output: a talking head at crf 18 takes more


@step("probe")
def probe(video: str, audio: str, output: str, settings: Settings) -> Job:
    """Look at the inputs, refuse bad ones and fix the timeline."""
    video, audio, output = (normalised(location) for location in (video, audio, output))
    workspace = Workspace.at(settings.run.work_dir)
    workspace.open()
    settings = with_detector(settings)
    refuse_bad_request(video, audio, output, settings)
    limits = UrlLimits.of(settings.run)
    sound = _kept(workspace, probe_audio(local_file(audio, workspace, limits)))
    rate, conformed = settings.timing.rate, workspace.root / "conformed"
    picture = _kept(workspace, prepare_video(local_file(video, workspace, limits), rate, conformed))
    timeline = plan_timeline(picture, sound, settings.timing.if_audio_longer, settings.timing.if_video_longer)
    needed = int(picture.width_px * picture.height_px * timeline.frames * LEAST_BYTES_PER_PIXEL)
    check_destination(output, needed)
    check_destination(workspace.root / "probe", needed)
    return Job(
        video=picture,
        audio=sound,
        original_sound=_original_sound(picture, timeline, settings),
        timeline=timeline,
        output=output,
        settings=settings,
    )


@step("voice", keys.voice_key)
def voice(job: Job) -> Artefact:
    """The engine's voice features of every frame."""

    def extract(out: Path) -> None:
        with engine_on_gpu(job.settings, lambda: note("waits for a GPU")) as engine:
            note("")
            extract_voice(job, engine, out)

    return make_file(job, "voice", f"{keys.voice_key(job)}.npy", extract)


@step("faces-{index:03d}", keys.faces_key)
def find_faces(job: Job, index: int, start: int, stop: int) -> Artefact:
    """Landmarks in source frames ``[start, stop)``."""

    def detect(out: Path) -> None:
        count = frame_counter(stop - start)
        detector = detector_spec(job.settings.faces.detector)
        scale, frames = read_rgb(job.video, start, stop, detector.long_side_px)
        detect_faces(frames, scale, detector.load(), out, count)

    return make_file(job, "faces", f"{keys.faces_key(job, index, start, stop)}.npy", detect)


@step("track", keys.track_key)
def track(job: Job, chunks: Sequence[Artefact]) -> Artefact:
    """One identity, smoothed once over the whole timeline."""
    size = resolution_px(job.settings.engine)
    paths = [chunk.path for chunk in chunks]
    choice, video = job.settings.faces.target, str(job.video.file.path)
    name = f"{keys.track_key(job, chunks)}.npy"
    return make_file(job, "track", name, lambda out: build_track(paths, choice, size, out, video))


@step("plan")
def plan(job: Job, track: Artefact) -> Plan:
    """The global window grid, and segments cut on it."""
    rows = np.load(track.path, mmap_mode="r")
    grid = windows(runs(rows, job.timeline.source_indices(0, job.timeline.voice_frames)), WINDOW_FRAMES)
    cut, fps = job.settings.segments, job.timeline.fps
    size, key = resolution_px(job.settings.engine), keys.plan_key(job, track)
    segments = plan_segments(job.timeline.frames, grid, int(cut.segment_seconds * fps), cut.overlap_frames)
    return Plan(
        track=track,
        windows=make_file(job, "plan", f"{key}-windows.npy", lambda out: np.save(out, grid)),
        mouth=make_file(job, "plan", f"{key}-mouth.npy", lambda out: aligned_mouths(rows, size, out)),
        segments=tuple(segments),
        frames_with_face=int(rows["face"].sum()),
    )


def with_detector(settings: Settings) -> Settings:
    """``auto`` resolved once, so that one job has one detector on all machines, and its name is in the keys."""
    faces = settings.faces.model_copy(update={"detector": detector_spec(settings.faces.detector).name})
    return settings.model_copy(update={"faces": faces})


def _original_sound(video: VideoInfo, timeline: Timeline, settings: Settings) -> AudioInfo | None:
    """The video's own sound, if it is to be heard after the voice."""
    wanted = settings.timing.tail == "original" and timeline.voice_frames < timeline.frames
    return probe_audio(video.file.path) if wanted and video.has_audio else None


def _kept(workspace: Workspace, info: Info) -> Info:
    """With a copy of its file in a remote workspace, if it came from there or a URL: other machines need it."""
    if not info.file.path.is_relative_to(workspace.root):
        return info
    return info.model_copy(update={"file": workspace.keep(info.file.path)})


def face_chunks(job: Job) -> list[tuple[int, int, int]]:
    """(index, start, stop) of the source frames to look for faces in: a grid of its own, whatever the segments."""
    used = int(job.timeline.source_indices(0, job.timeline.voice_frames).max()) + 1
    starts = range(0, used, CHUNK_FRAMES)
    return [(index, start, min(start + CHUNK_FRAMES, used)) for index, start in enumerate(starts)]
