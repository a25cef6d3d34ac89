"""A forecast of a job: is it possible, what will be seen in it, what will it take."""

import shutil
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from latentsync.engines.registry import resolution_px
from latentsync.errors import InputError, LipsyncError, WeightsError
from latentsync.faces.face import LIMITS
from latentsync.faces.shots import MIN_CHANGE
from latentsync.forecast.advice import warnings
from latentsync.forecast.bench_figures import kept_figure
from latentsync.forecast.cost import amount_of_work, predict
from latentsync.forecast.lengths import describe_lengths
from latentsync.forecast.looks import Look, Sampling, choose_sampling, look, stretches
from latentsync.forecast.memory import tasks_that_fit
from latentsync.forecast.people import chosen_slots, describe_people
from latentsync.forecast.records import Cost, Faces, Forecast
from latentsync.forecast.trial import try_stages
from latentsync.forecast.voice import measure_voice
from latentsync.job import Job
from latentsync.media.encode import encoder_works
from latentsync.media.probe import probe_audio, probe_video
from latentsync.media.timeline import plan_timeline
from latentsync.segments.part import part_of, used_frames
from latentsync.segments.syncnet.weights import refuse_bad_weights
from latentsync.settings import Settings
from latentsync.storage.download import local_file
from latentsync.storage.fs import UrlLimits
from latentsync.storage.locations import normalised
from latentsync.storage.workspace import Workspace


def forecast(video: str, audio: str, settings: Settings) -> Forecast:
    """The forecast for files that nobody has looked at yet. Raises ``InputError`` as ``forecast_job`` does."""
    return forecast_job(job_of(video, audio, settings))


def job_of(video: str, audio: str, settings: Settings) -> Job:
    """A job without an output; files at URLs are copied to the workspace first."""
    workspace, limits = Workspace.at(settings.run.work_dir), UrlLimits.of(settings.run)
    film, voice = (local_file(normalised(location), workspace, limits) for location in (video, audio))
    picture, sound = probe_video(film, settings.timing.rate), probe_audio(voice)
    timeline = plan_timeline(picture, sound, settings.timing.if_audio_longer, settings.timing.if_video_longer)
    part = part_of(settings.timing, timeline)
    return Job(
        video=picture,
        audio=sound,
        original_sound=None,
        timeline=timeline,
        part=part,
        output="",
        settings=settings,
    )


def forecast_job(job: Job) -> Forecast:
    """Look at the inputs of ``job`` now and then, and try some of its frames.

    Raises ``InputError`` for inputs that cannot be read; other reasons why it cannot succeed are told.
    """
    looked_at = used_frames(job)
    sampling = choose_sampling(job.video, looked_at)
    looks = list(look(job.video, looked_at, sampling, job.settings.faces.detector))
    choice = job.settings.faces.target
    people, slots = chosen_slots(looks, choice, (job.video.width_px / 2, job.video.height_px / 2))
    faces = _faces(looks, slots, sampling)
    faces = faces.model_copy(update={"people": describe_people(looks, people, slots, choice)})
    voice = measure_voice(job.audio)
    cost, problems = _cost(job, looks, sampling, faces)
    return Forecast(
        video=str(job.video.file.path),
        audio=str(job.audio.file.path),
        engine=job.settings.engine.name,
        lengths=describe_lengths(job),
        faces=faces,
        voice=voice,
        cost=cost,
        problems=problems,
        warnings=warnings(job, faces, voice),
    )


def _faces(looks: list[Look], slots: np.ndarray, sampling: Sampling) -> Faces:
    boxes = [look.faces[slot].box for look, slot in zip(looks, slots, strict=True) if slot >= 0]
    heights = [bottom - top for _, top, _, bottom in boxes]
    return Faces(
        sampled_frames=len(looks),
        interval_seconds=float(sampling.interval_seconds),
        usable_share=round(len(boxes) / len(looks), 4),
        smallest_px=round(float(np.percentile(heights, 5))) if heights else None,
        median_px=round(float(np.median(heights))) if heights else None,
        shot_changes=sum(look.change >= MIN_CHANGE for look in looks),
        people=[],
        stretches=stretches(looks, float(sampling.interval_seconds)),
    )


def _cost(job: Job, looks: list[Look], sampling: Sampling, faces: Faces) -> tuple[Cost | None, list[str]]:
    """The cost, where it can be told, and why the job cannot succeed."""
    problems = [reason for check in (_engine, _encoder, _memory, _syncnet) if (reason := check(job))]
    if not faces.usable_share:
        return None, [*problems, _no_face(job, looks)]
    try:
        resolution_px(job.settings.engine)
    except WeightsError:  # told already
        return None, problems
    nearest = _nearest_looks(job, looks, sampling)
    usable, is_open = (np.array([here(look) for look in looks])[nearest] for here in (_is_usable, _is_open))
    work = amount_of_work(job, usable, is_open)
    start = _first_good_frame(job, looks)
    with TemporaryDirectory() as folder:
        trial = try_stages(job, start, Path(folder))
    bench = kept_figure(job.settings.engine)
    cost = predict(job, work, trial, bench)
    return cost, problems + [reason for reason in [_disk(job, cost)] if reason]


def _nearest_looks(job: Job, looks: list[Look], sampling: Sampling) -> np.ndarray:
    """Which look shows best what each output frame with voice (N,) will show."""
    source = job.timeline.source_indices(0, job.timeline.voice_frames)
    nearest = np.rint(source / float(job.video.fps * sampling.interval_seconds)).astype(int)
    return np.minimum(nearest, len(looks) - 1)


def _is_usable(look: Look) -> bool:
    return bool(look.faces)


def _is_open(look: Look) -> bool:
    return bool(look.faces) and look.faces[0].is_open


def _first_good_frame(job: Job, looks: list[Look]) -> int:
    """A source frame in the middle of those that show a face."""
    good = [look.seconds for look in looks if look.faces]
    return min(int(good[len(good) // 2] * job.video.fps), job.video.frames - 1)


def _engine(job: Job) -> str:
    engine = job.settings.engine
    try:
        engine.spec.check(engine.own)
    except LipsyncError as error:
        return str(error)
    return ""


def _syncnet(job: Job) -> str:
    try:
        refuse_bad_weights(job.settings.score)
    except WeightsError as error:
        return str(error)
    return ""


def _memory(job: Job) -> str:
    try:
        tasks_that_fit(job.settings.run.max_rss_gib, job.video.width_px, job.video.height_px)
    except InputError as error:
        return str(error)
    return ""


def _encoder(job: Job) -> str:
    name = job.settings.encode.encoder
    works = encoder_works(name)
    return "" if works else f"encoder {name} does not work on this machine; lipsync doctor lists those that do"


def _disk(job: Job, cost: Cost) -> str:
    root = Workspace.at(job.settings.run.work_dir).root
    folder = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    if cost.work_bytes <= free:
        return ""
    return (
        f"{root}: the workspace needs about {cost.work_bytes / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
        "free some space or choose another --work-dir"
    )


def _no_face(job: Job, looks: list[Look]) -> str:
    seen = ", ".join(f"{count} {what}" for what, count in Counter(look.trouble for look in looks).most_common())
    return (
        f"{job.video.file.path}: none of {len(looks)} sampled frames shows a face of at least {LIMITS.min_width_px}x"
        f"{LIMITS.min_height_px} px that is not in profile ({seen}); give a video in which the face is larger or "
        "turned to the camera"
    )
