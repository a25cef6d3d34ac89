"""Join all renders, add the sound and the mark of origin, check the result."""

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from latentsync.job import Job
from latentsync.media.audio import aac_rate, mux, output_samples
from latentsync.records import ClipFile
from latentsync.stitching.check import check_output
from latentsync.stitching.join import join_clips
from latentsync.stitching.mark import append_xmp, metadata_tags
from latentsync.stitching.sign import sign


def assemble(job: Job, clips: Sequence[ClipFile], out: Path) -> None:
    """Write the finished file. Raises ``InternalError`` when it is not what was planned."""
    unsigned = out.with_name(f"{out.name}.unsigned{out.suffix}")
    try:
        if job.settings.mark.certificate:
            _assemble(job, clips, unsigned)
            sign(unsigned, job, clips, out)
        else:
            _assemble(job, clips, out)
    finally:
        unsigned.unlink(missing_ok=True)
    _check(job, clips, out)


def _assemble(job: Job, clips: Sequence[ClipFile], out: Path) -> None:
    timeline, timing, mark = job.timeline, job.settings.timing, job.settings.mark
    silent = out.with_name(f"{out.name}.silent.mp4")
    try:
        counts = [clip.end - clip.start for clip in clips]
        join_clips([clip.file.path for clip in clips], counts, timeline.fps, silent)
        tags = metadata_tags(mark, _content_id(job, clips))
        span = clips[0].start, clips[-1].end
        mux(silent, job.audio, timeline, out, span=span, tail=timing.tail, original=job.original_sound, tags=tags)
    finally:
        silent.unlink(missing_ok=True)
    if mark.metadata:
        append_xmp(out)


def _check(job: Job, clips: Sequence[ClipFile], out: Path) -> None:
    timeline, (start, end) = job.timeline, (clips[0].start, clips[-1].end)
    first, last = output_samples(timeline, job.audio, (start, end))
    check_output(
        out,
        end - start,
        timeline.fps,
        job.video.width_px,
        job.video.height_px,
        [clip.start - start for clip in clips],
        Fraction(last - first, aac_rate(job.audio.sample_rate_hz)),
    )


def _content_id(job: Job, clips: Sequence[ClipFile]) -> str:
    """Equal for equal pictures and sound."""
    digests = [job.audio.file.sha256, *(clip.file.sha256 for clip in clips)]
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:32]
