"""`lipsync probe`: what a file is."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from latentsync.errors import InputError
from latentsync.media.probe import probe_audio, probe_video


def probe(file: Annotated[Path, Parameter(help="Video or sound file")], /) -> None:
    """Print what a file is. Raises ``InputError`` when it is neither a usable video nor a sound."""
    console = Console(highlight=False, soft_wrap=True)
    lines, problems = [], []
    for look in (_video_line, _audio_line):
        try:
            lines.append(look(file))
        except InputError as error:
            problems.append(str(error))
    if not lines:
        raise InputError(problems[0])
    for line in lines:
        console.print(line, markup=False)


def _video_line(file: Path) -> str:
    video = probe_video(file, None)
    colour = "/".join(tag or "untagged" for tag in (video.color_range, video.color_space, video.color_transfer))
    return (
        f"video: {video.codec} in {video.container}, {video.width_px}x{video.height_px}, "
        f"{video.fps} frames/s, {video.frames} frames ({float(video.frames / video.fps):.2f} s), "
        f"{video.pix_fmt} {colour}, rotation {video.rotation_degrees}"
    )


def _audio_line(file: Path) -> str:
    audio = probe_audio(file)
    return (
        f"sound: {audio.codec}, {audio.sample_rate_hz} Hz, {audio.channels} channels, "
        f"{audio.samples} samples ({audio.samples / audio.sample_rate_hz:.3f} s)"
    )
