"""What a job will take: seconds, disk, memory, money."""

import os
from dataclasses import dataclass

import numpy as np

from latentsync.engines.registry import is_direct, uses_gpu
from latentsync.errors import InputError
from latentsync.faces.detect import DETECTION_DTYPE
from latentsync.faces.track import TRACK_DTYPE
from latentsync.forecast.bench_figures import BenchFigure
from latentsync.forecast.memory import job_mib, tasks_that_fit
from latentsync.forecast.records import Cost
from latentsync.forecast.trial import Trial
from latentsync.forecast.voice import ranges
from latentsync.job import Job
from latentsync.media.loudness import frame_loudness_db
from latentsync.segments.part import face_chunks, made_segments, span_of
from latentsync.segments.plan import segments_of, window_grid
from latentsync.segments.syncnet.stretch import FPS, SECONDS
from latentsync.segments.windows import touching

# Measured on two cores of an AMD EPYC; of a job of minutes, all of this together is a few per cent.
START_CPU_SECONDS = 7.0  # imports, and Prefect's temporary server
START_SECONDS = 5.0  # the same on the clock
TASK_CPU_SECONDS = 0.12  # what Prefect does about a task
SYNCNET_CPU_SECONDS = 0.06  # per frame that it looks at
SOUND_CPU_SECONDS = 0.03  # per second of sound: decoded to be counted, coded as AAC
BUSY = 0.85  # share of the cores that a job of several segments keeps busy
BUSY_ALONE = 0.65  # a job of one segment: only ffmpeg works beside


@dataclass(frozen=True)
class Work:
    """How much there is to do."""

    frames: int  # of the output
    segments: int  # whose faces are made
    windows: int  # generated, overlaps included
    generated_frames: int  # in these windows
    source_frames: int  # that are looked at for faces, in so many
    chunks: int


def amount_of_work(job: Job, usable: np.ndarray, is_open: np.ndarray) -> Work:
    """From what is known of each output frame with voice: a usable face (N,), its mouth open (N,)."""
    timeline = job.timeline
    loudness = frame_loudness_db(job.audio, timeline.fps, timeline.voice_frames)
    grid = window_grid(job, ranges(usable), is_open, loudness)
    segments, (start, end) = segments_of(job)[slice(*made_segments(job))], span_of(job)
    chunks = face_chunks(job)
    met = [grid[touching(grid, segment.start, segment.clip_end)] for segment in segments]
    return Work(
        frames=end - start,
        segments=len(segments),
        windows=sum(map(len, met)),
        generated_frames=sum(int((part[:, 1] - part[:, 0]).sum()) for part in met),
        source_frames=sum(chunk.end - chunk.start for chunk in chunks),
        chunks=len(chunks),
    )


def predict(job: Job, work: Work, trial: Trial, bench: BenchFigure | None) -> Cost:
    """The cost of a job, from its trial and, for an engine on a GPU, from what was measured of it."""
    frames, segments, chunks = work.frames, work.segments, work.chunks
    cpu = (
        START_CPU_SECONDS
        + TASK_CPU_SECONDS * (6 + chunks + _tasks_of_a_segment(job) * segments)
        + SOUND_CPU_SECONDS * float(frames / job.timeline.fps)
        + trial.voice_seconds
        + trial.find.of(chunks, work.source_frames)
        + trial.generate.of(segments, work.generated_frames)
        + trial.render.of(segments, frames)
        + trial.score.of(segments, frames)
        + _syncnet_seconds(job, segments)
    )
    on_gpu = uses_gpu(job.settings.engine)
    gpu = (work.windows * bench.window_seconds if bench else None) if on_gpu else 0.0
    output = int(frames * trial.render_bytes)
    by_stage = {**_intermediate_bytes(job, work, trial), "render": output, "join": output}
    return Cost(
        segments=segments,
        windows=work.windows,
        cpu_seconds=round(cpu, 1),
        gpu_seconds=None if gpu is None else round(gpu, 1),
        wall_seconds=_wall_seconds(job, work, cpu, bench),
        work_bytes=sum(by_stage.values()),
        stage_bytes=by_stage,
        output_bytes=output,
        memory_mib=job_mib(job.video.width_px, job.video.height_px, _tasks_at_once(job)),
        gpu_memory_mib=bench.gpu_mib if bench and on_gpu else None,
        price=job.settings.run.price(gpu),
        basis=_basis(trial, bench if on_gpu else None, on_gpu),
    )


def _tasks_of_a_segment(job: Job) -> int:
    """Render, and generate and score where there are such tasks."""
    return 1 + (not is_direct(job.settings.engine)) + (job.settings.score.gate != "off")


def _syncnet_seconds(job: Job, segments: int) -> float:
    """CPU seconds of LSE-D and LSE-C, where they are measured."""
    score = job.settings.score
    if score.gate == "off" or not score.syncnet:
        return 0.0
    looked_at = segments * min(FPS * SECONDS, float(job.timeline.frames / job.timeline.fps) * FPS / segments)
    return SYNCNET_CPU_SECONDS * looked_at


def _wall_seconds(job: Job, work: Work, cpu: float, bench: BenchFigure | None) -> float | None:
    busy = BUSY if work.segments > 1 else BUSY_ALONE
    on_cpu = START_SECONDS + (cpu - START_CPU_SECONDS) / (busy * (os.cpu_count() or 1))
    if not uses_gpu(job.settings.engine):
        return round(on_cpu, 1)
    if bench is None:
        return None
    return round(max(on_cpu, bench.first_window_seconds + work.windows * bench.window_seconds), 1)


def _intermediate_bytes(job: Job, work: Work, trial: Trial) -> dict[str, int]:
    tables = work.source_frames * (DETECTION_DTYPE.itemsize + TRACK_DTYPE.itemsize + TRACK_DTYPE["mouth"].itemsize)
    overlaps = (work.segments - 1) * job.settings.segments.overlap_frames
    return {"faces": tables, "generate": int(trial.face_bytes * (work.frames + overlaps))}


def _tasks_at_once(job: Job) -> int:
    """Tasks that work side by side on this machine."""
    cores, run = os.cpu_count() or 1, job.settings.run
    try:
        fit = tasks_that_fit(run.max_rss_gib, job.video.width_px, job.video.height_px)
    except InputError:  # told as a problem
        fit = 1
    return min(run.workers or cores, cores, fit or cores)


def _basis(trial: Trial, bench: BenchFigure | None, on_gpu: bool) -> str:
    cpu = f"CPU: {trial.frames} frames of this video through all stages, here and now"
    if not on_gpu:
        return cpu
    return f"{cpu}; GPU: lipsync bench on {bench.machine}" if bench else f"{cpu}; GPU: never measured (lipsync bench)"
