"""Join all renders, add the sound, check the result."""

from collections.abc import Sequence
from pathlib import Path

from latentsync.job import Job
from latentsync.media.audio import mux
from latentsync.records import ClipFile
from latentsync.stitching.check import check_output
from latentsync.stitching.join import join_clips


def assemble(job: Job, clips: Sequence[ClipFile], out: Path) -> None:
    """Write the finished file. Raises ``InternalError`` when it is not what was planned."""
    silent = out.with_name(f"{out.name}.silent.mp4")
    try:
        join_clips(
            [clip.file.path for clip in clips],
            [clip.end - clip.start for clip in clips],
            job.timeline.fps,
            silent,
        )
        mux(silent, job, out)
    finally:
        silent.unlink(missing_ok=True)
    check_output(out, job)
