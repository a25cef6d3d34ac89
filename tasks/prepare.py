"""From files to a plan: probe, voice, find faces, track, plan."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from configs.loader import disk_of
from latentsync.engines.registry import engine_on_gpu, resolution_px, uses_gpu, voice_identity
from latentsync.faces.detect import find_faces as detect_faces
from latentsync.faces.detectors.registry import detector_identity, detector_spec
from latentsync.faces.identity import Choice
from latentsync.faces.track import build_track
from latentsync.forecast.memory import tasks_that_fit
from latentsync.forecast.space import space_of
from latentsync.job import Job, Plan
from latentsync.media.audio import extract_mono_16k
from latentsync.media.conform import prepare_video
from latentsync.media.decode import read_rgb
from latentsync.media.loudness import frame_loudness_db
from latentsync.media.probe import probe_audio
from latentsync.media.timeline import Timeline, plan_timeline
from latentsync.records import Artefact, AudioInfo, Chunk, VideoInfo
from latentsync.segments.compared import compared_ranges
from latentsync.segments.part import face_chunks, joined_segments, made_segments, part_of, reference_frames, used_frames
from latentsync.segments.plan import aligned_mouths, plan_windows, segment_seconds, segments_of, write_segments
from latentsync.segments.syncnet.weights import syncnet_weights
from latentsync.segments.voice import extract_voice
from latentsync.settings import Settings
from latentsync.storage import disks
from latentsync.storage.download import local_file
from latentsync.storage.fs import UrlLimits
from latentsync.storage.locations import normalised
from latentsync.storage.mapped import column, open_array
from latentsync.storage.space import check_space
from latentsync.storage.workspace import Workspace
from tasks.keys import alignment_part, computed_by, sound_part, video_part
from tasks.progress import Progress
from tasks.refusals import refuse_bad_request
from tasks.stages import file_stage, stage
from tasks.work import Work

Info = TypeVar("Info", VideoInfo, AudioInfo)

log = logging.getLogger("latentsync.tasks")


def engine_resource(settings: Settings) -> str:
    """The resource of stages in which the engine works."""
    return "GPU" if uses_gpu(settings.engine) else "CPU"


@stage("probe")
def probe(work: Work, video: str, audio: str, output: str, settings: Settings) -> Job:
    """Look at the inputs, refuse bad ones and fix the timeline. Raises ``InputError`` or ``WeightsError``."""
    video, audio, output = (normalised(location) for location in (video, audio, output))
    workspace = Workspace.at(settings.run.work_dir)
    settings = with_detector(settings)
    refuse_bad_request(video, audio, output, settings)
    disks.limit(output, disk_of(settings, output))
    limits, complete = UrlLimits.of(settings.run), settings.timing.min_complete_percent
    heard = _kept(workspace, probe_audio(local_file(audio, workspace, limits), complete))
    rate, conformed = settings.timing.rate, workspace.root / "conformed"
    picture = _kept(workspace, prepare_video(local_file(video, workspace, limits), rate, conformed, complete))
    timeline = plan_timeline(picture, heard, settings.timing.if_audio_longer, settings.timing.if_video_longer)
    tasks_that_fit(settings.run.max_rss_gib, picture.width_px, picture.height_px)
    job = Job(
        video=picture,
        audio=heard,
        original_sound=_original_sound(picture, timeline, settings),
        timeline=timeline,
        part=part_of(settings.timing, timeline),
        output=output,
        settings=settings,
        syncnet=syncnet_weights(settings.score, workspace, limits),
    )
    space = space_of(job)
    log.info("the job writes at least: %s", space)
    check_space(space, workspace.root, output, workspace.used_bytes(job.source))
    return job


def voice_key(job: Job) -> list[object]:
    """The sound, the timeline, and the engine that hears it."""
    timeline = {"frames": job.timeline.voice_frames, "fps": str(job.timeline.fps)}
    engine = voice_identity(job.settings.engine)
    return [sound_part(job.audio), timeline, engine, computed_by()]


@file_stage("voice", voice_key, ".npy", resource=engine_resource)
def voice(out: Path, progress: Progress, job: Job) -> None:
    """The engine's voice features of every frame. Raises ``TransientError`` without GPU memory."""
    with engine_on_gpu(job.settings, lambda: progress.note("waits for a GPU")) as engine:
        progress.note("")
        extract_voice(job, engine, out)


def sound_key(job: Job) -> list[object]:
    """The sound alone."""
    return [sound_part(job.audio), computed_by()]


@file_stage("sound", sound_key, ".wav")
def sound(out: Path, progress: Progress, job: Job) -> None:
    """The voice as 16 kHz mono, for those who hear some seconds of it."""
    extract_mono_16k(job.audio, out)


def faces_key(job: Job, chunk: Chunk) -> list[object]:
    """The video's frames and what looks at them; whom to follow is chosen afterwards."""
    detector = detector_identity(job.settings.faces.detector)
    return [video_part(job.video), [chunk.start, chunk.end], detector, computed_by()]


@file_stage("faces-{chunk.index:03d}", faces_key, ".npy")
def find_faces(out: Path, progress: Progress, job: Job, chunk: Chunk) -> None:
    """Landmarks in the source frames of a chunk.

    Raises ``TransientError`` when ffmpeg is killed, ``InputError`` when too many frames are damaged.
    """
    detector = detector_spec(job.settings.faces.detector)
    complete = job.settings.timing.min_complete_percent
    scale, frames = read_rgb(job.video, chunk.start, chunk.end, detector.long_side_px, min_complete_percent=complete)
    detect_faces(frames, scale, detector.load(), out, progress.frames)


def track_key(job: Job, chunks: Sequence[Artefact]) -> list[object]:
    """The detections and where they belong, whom to follow, and the size of aligned faces and where they lie."""
    starts, size = [chunk.start for chunk in face_chunks(job)], resolution_px(job.settings.engine)
    digests = [used_frames(job), starts, *(chunk.sha256 for chunk in chunks)]
    followed, lie = job.settings.faces.model_dump(mode="json"), alignment_part(job.settings.engine.spec.alignment)
    return [video_part(job.video), digests, followed, size, computed_by("numpy"), *lie]


@file_stage("track", track_key, ".npy")
def track(out: Path, progress: Progress, job: Job, chunks: Sequence[Artefact]) -> None:
    """One identity, smoothed once over the whole timeline. Raises ``InputError`` when no face is usable."""
    paths, video = [chunk.path for chunk in chunks], str(job.video.file.path)
    choice, engine = cast(Choice, job.settings.faces.target), job.settings.engine
    starts, size = [chunk.start for chunk in face_chunks(job)], resolution_px(engine)
    build_track(paths, choice, size, engine.spec.alignment, out, video, starts, used_frames(job))


def plan_key(job: Job, track: Artefact) -> list[object]:
    """Video and track, the timeline, how it is cut, what is made of it, and the voice, whose pauses are kept."""
    cut, heard = job.settings.segments.model_dump(mode="json"), job.audio.file.sha256
    size, libraries = resolution_px(job.settings.engine), computed_by("numpy", "scipy")
    made = [segment_seconds(job.settings), made_segments(job), joined_segments(job)]
    seen = [video_part(job.video), track.sha256]
    return [seen, job.timeline.model_dump(mode="json"), made, cut, heard, size, libraries]


@stage("plan", plan_key, version=5)
def plan(work: Work, job: Job, track: Artefact) -> Plan:
    """The global window grid, and segments cut on it."""
    rows = open_array(track.path)
    loudness = frame_loudness_db(job.audio, job.timeline.fps, job.timeline.voice_frames)
    grid, opacity = plan_windows(job, rows, loudness)
    size, segments, joined = resolution_px(job.settings.engine), segments_of(job), joined_segments(job)
    compared = compared_ranges(job, opacity, segments, joined)
    first, last = reference_frames(job)
    if not rows["face"][first:last].any():  # nobody there: then all that is known
        first, last = 0, len(rows)
    return Plan(
        track=track,
        windows=work.file("-windows.npy", lambda out: np.save(out, grid)),
        opacity=work.file("-opacity.npy", lambda out: np.save(out, opacity)),
        loudness=work.file("-loudness.npy", lambda out: np.save(out, loudness)),
        mouth=work.file("-mouth.npy", lambda out: aligned_mouths(rows[first:last], size, out)),
        mouth_start=first,
        cuts=work.file("-cuts.npy", lambda out: write_segments(segments, out)),
        compared=work.file("-compared.npy", lambda out: np.save(out, compared)),
        made=made_segments(job),
        joined=joined,
        frames_with_face=int(column(rows, "face").sum()),
    )


def with_detector(settings: Settings) -> Settings:
    """``auto`` resolved once, so that one job has one detector on all machines, and its name is in the keys."""
    faces = settings.faces.model_copy(update={"detector": detector_spec(settings.faces.detector).name})
    return settings.model_copy(update={"faces": faces})


def _original_sound(video: VideoInfo, timeline: Timeline, settings: Settings) -> AudioInfo | None:
    """The video's own sound, if it is to be heard after the voice."""
    wanted = settings.timing.tail == "original" and timeline.voice_frames < timeline.frames
    complete = settings.timing.min_complete_percent
    return probe_audio(video.file.path, complete) if wanted and video.has_audio else None


def _kept(workspace: Workspace, info: Info) -> Info:
    """With a copy of its file in a remote workspace, if it came from there or a URL: other machines need it."""
    if not info.file.path.is_relative_to(workspace.root):
        return info
    return info.model_copy(update={"file": workspace.keep(info.file.path)})
