"""How long video and voice are, and what the settings make of the difference."""

from latentsync.forecast.records import Lengths
from latentsync.job import Job
from latentsync.segments.part import span_of


def describe_lengths(job: Job) -> Lengths:
    """The lengths of a job's inputs and output."""
    line, video, (start, end) = job.timeline, job.video, span_of(job)
    return Lengths(
        video_seconds=round(float(video.frames / video.fps), 3),
        voice_seconds=round(job.audio.samples / job.audio.sample_rate_hz, 3),
        output_seconds=round(float((end - start) / line.fps), 3),
        frames=end - start,
        fps=f"{line.fps.numerator}/{line.fps.denominator}",
        width=video.width_px,
        height=video.height_px,
        policy=_policy(job),
    )


def _policy(job: Job) -> str:
    line, voice, video = job.timeline, job.audio.frames(job.timeline.fps), job.video.frames
    shown = {"loop": "is looped", "bounce": "runs to and fro", "hold": "stands still on its last frame"}
    if voice > video:
        longer = f"the voice is {_seconds(job, voice - video)} longer than the video"
        if line.source == "cut":
            return f"{longer}, and is cut there (if_audio_longer = cut)"
        return f"{longer}: the picture {shown[line.source]} for the rest (if_audio_longer = {line.source})"
    if voice == video:
        return "both are equally long"
    longer = f"the video is {_seconds(job, video - voice)} longer than the voice"
    if line.frames == voice:
        return f"{longer}, and is cut there (if_video_longer = cut)"
    tail = "its own sound" if job.settings.timing.tail == "original" and job.video.has_audio else "silence"
    return f"{longer}: the rest keeps its own lips, with {tail} (if_video_longer = keep)"


def _seconds(job: Job, frames: int) -> str:
    return f"{float(frames / job.timeline.fps):.2f} s ({frames} frames)"
