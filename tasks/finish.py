"""From rendered clips to the published file: join, publish."""

from collections.abc import Sequence
from pathlib import Path

from configs.loader import disk_profile
from latentsync.job import Job, Plan, Work
from latentsync.publishing.writer import PublishResult
from latentsync.publishing.writer import publish as publish_file
from latentsync.records import Artefact
from latentsync.review.pictures import show_job
from latentsync.stitching.assemble import assemble
from tasks import keys
from tasks.making import make_file
from tasks.policy import step


@step("join", keys.join_key)
def join(job: Job, renders: Sequence[Work]) -> Artefact:
    """All renders on one integer timeline with the given sound; checked."""
    clips = [render.clip for render in renders]
    suffix = Path(job.output).suffix or ".mp4"
    return make_file(job, "join", keys.join_key(job, renders) + suffix, lambda out: assemble(job, clips, out))


@step("pictures")
def pictures(job: Job, plan: Plan, joined: Artefact, folder: Path) -> None:
    """Contact sheet and mouth-against-voice plot for a person to judge."""
    show_job(job, plan, joined.path, folder)


@step("publish")
def publish(job: Job, joined: Artefact) -> PublishResult:
    """Paced, chunked and atomic copy to the destination."""
    return publish_file(joined.path, job.output, disk_profile(job.settings.run.disk_profile))
