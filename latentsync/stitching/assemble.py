"""Join all renders, add the sound, check the result."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from latentsync.job import Job
from latentsync.media.audio import aac_rate, mux, output_samples
from latentsync.records import ClipFile
from latentsync.stitching.check import check_output
from latentsync.stitching.join import join_clips


def assemble(job: Job, clips: Sequence[ClipFile], out: Path) -> None:
    """Write the finished file. Raises ``InternalError`` when it is not what was planned."""
    timeline, sound = job.timeline, job.audio
    silent = out.with_name(f"{out.name}.silent.mp4")
    try:
        counts = [clip.end - clip.start for clip in clips]
        join_clips([clip.file.path for clip in clips], counts, timeline.fps, silent)
        mux(silent, sound, timeline, out, tail=job.settings.timing.tail, original=job.original_sound)
    finally:
        silent.unlink(missing_ok=True)
    check_output(
        out,
        timeline.frames,
        timeline.fps,
        job.video.width_px,
        job.video.height_px,
        [clip.start for clip in clips],
        Fraction(output_samples(timeline, sound), aac_rate(sound.sample_rate_hz)),
    )
