"""What the body of a stage gets beside its inputs: progress, and files that are whole or not there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from configs.loader import disk_of
from latentsync.errors import InputError, InternalError, TransientError
from latentsync.job import Job
from latentsync.records import Artefact, file_sha256
from latentsync.storage import disks
from latentsync.storage.atomic import leftovers, whole_file
from latentsync.storage.workspace import Workspace
from tasks.progress import Progress


@dataclass(frozen=True)
class Work:
    """What a body gets beside its inputs."""

    progress: Progress
    key: str
    job: Job | None
    stage: str

    def file(self, suffix: str, make: Callable[[Path], object]) -> Artefact:
        """The file that ``make`` writes: named by the stage's key, kept whole or not at all."""
        if self.job is None:
            raise InternalError(f"{self.stage}: a stage that makes files takes a job")
        workspace = Workspace.at(self.job.settings.run.work_dir)
        path = workspace.path(self.job.source, self.stage, self.key + suffix)
        for leftover in leftovers(path):  # of killed makers: we hold the key's lock, so none is alive
            leftover.unlink(missing_ok=True)
        if path.exists() and not path.is_file():  # nobody's input: the tasks beside this one go on
            raise TransientError(f"{path} is in the way of a work file: remove it, then run again")
        disks.limit(self.job.output, disk_of(self.job.settings, self.job.output))
        with whole_file(path) as temporary:
            make(temporary)
            _refuse_changed_inputs(self.job)
        return workspace.keep(path)


def _refuse_changed_inputs(job: Job) -> None:
    """What was made of a file that was replaced meanwhile must not be kept under the old one's digest."""
    for file in (job.video.file, job.audio.file):
        if not file.path.is_file() or file_sha256(file.path) != file.sha256:
            raise InputError(f"{file.path} has changed since the job began; run again when it is complete")
