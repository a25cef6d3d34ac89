"""Making a file in the workspace: once, whole, counted and described."""

import time
from collections.abc import Callable
from pathlib import Path

from latentsync.errors import InputError
from latentsync.job import Job, Work
from latentsync.records import Artefact, ClipFile, file_sha256
from latentsync.storage.atomic import leftovers, whole_file
from latentsync.storage.workspace import Workspace
from tasks.steps import attempt, frame_counter, note, peak_gpu_mib, peak_rss_mib, redoing, worker_name


def make_file(job: Job, stage: str, name: str, make: Callable[[Path], object]) -> Artefact:
    """Let ``make`` write the file ``name`` of a stage; a second run that wants it waits and shares it."""
    workspace = Workspace.at(job.settings.run.work_dir)
    path = workspace.path(job.source, stage, name)
    with workspace.once(path, lambda: note("waits for another run that makes the same")) as is_made:
        note("")
        if not is_made or redoing():
            for leftover in leftovers(path):  # of killed makers: we hold the lock, so none is alive
                leftover.unlink(missing_ok=True)
            with whole_file(path) as temporary:
                make(temporary)
                _refuse_changed_inputs(job)
        return workspace.keep(path)


def _refuse_changed_inputs(job: Job) -> None:
    """What was made of a file that was replaced meanwhile must not be kept under the old one's digest."""
    for file in (job.video.file, job.audio.file):
        if not file.path.is_file() or file_sha256(file.path) != file.sha256:
            raise InputError(f"{file.path} has changed since the job began; run again when it is complete")


def make_clip(job: Job, name: str, start: int, end: int, make: Callable[[Path, Callable[[int], None]], object]) -> Work:
    """Make the clip ``name`` of frames ``[start, end)`` and say what it took."""
    began = time.monotonic()
    count = frame_counter(end - start)
    file = make_file(job, name.split("-")[0], name, lambda path: make(path, count))
    return Work(
        clip=ClipFile(file=file, start=start, end=end),
        seconds=round(time.monotonic() - began, 3),
        attempts=attempt(),
        worker=worker_name(),
        peak_rss_mib=peak_rss_mib(),
        peak_gpu_mib=peak_gpu_mib(),
    )
