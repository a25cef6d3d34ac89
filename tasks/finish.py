"""From rendered clips to the published file: join, publish, pictures."""

from collections.abc import Sequence
from pathlib import Path

from configs.loader import disk_of
from latentsync.job import Job, Plan
from latentsync.publishing.writer import PublishResult
from latentsync.publishing.writer import publish as publish_file
from latentsync.records import Artefact, ClipFile, Record
from latentsync.review.pictures import show_job
from latentsync.stitching.assemble import assemble
from latentsync.storage import disks
from tasks.keys import computed_by, file_name_part, mark_part, sound_part
from tasks.progress import Progress
from tasks.stages import file_stage, stage
from tasks.work import Work


class Pictures(Record):
    """Pictures of a result, for a person to judge."""

    files: tuple[Path, ...]


def join_key(job: Job, plan: Plan, renders: Sequence[Artefact]) -> list[object]:
    """The clips, the sound, the timeline, the mark and the kind of file."""
    sounds = [sound and sound_part(sound) for sound in (job.audio, job.original_sound)]
    timeline, tail = job.timeline.model_dump(mode="json"), job.settings.timing.tail
    clips, kind = [plan.joined, *(clip.sha256 for clip in renders)], file_name_part(job.output)
    return [clips, sounds, timeline, tail, kind, mark_part(job), computed_by("av", "c2pa-python")]


def _suffix(job: Job, plan: Plan, renders: Sequence[Artefact]) -> str:
    return file_name_part(job.output) or ".mp4"


@file_stage("join", join_key, _suffix)
def join(out: Path, progress: Progress, job: Job, plan: Plan, renders: Sequence[Artefact]) -> None:
    """All renders on one integer timeline with the given sound; checked. Raises ``InternalError``."""
    clips = zip(renders, plan.output_segments, strict=True)
    assemble(job, [ClipFile(file=file, start=segment.start, end=segment.end) for file, segment in clips], out)


@stage("publish")
def publish(work: Work, job: Job, joined: Artefact) -> PublishResult:
    """Paced, chunked and atomic copy to the destination. Raises as ``publishing.writer.publish``."""
    disk = disk_of(job.settings, job.output)
    return publish_file(joined.path, job.output, disk, pacer=disks.limit(job.output, disk))


@stage("pictures")
def pictures(work: Work, job: Job, plan: Plan, joined: Artefact, folder: Path) -> Pictures:
    """Contact sheet and mouth-against-voice plot for a person to judge."""
    return Pictures(files=tuple(show_job(job, plan, joined.path, folder)))
