"""What `lipsync probe` and `lipsync doctor` print."""

from pathlib import Path

from rich.console import Console

from latentsync.errors import InputError
from latentsync.media.probe import probe_audio, probe_video
from latentsync.storage.workspace import Workspace

MARKS = {"ok": "[green]ok  [/green]", "warn": "[yellow]warn[/yellow]", "fail": "[red]fail[/red]"}


def show_file(file: Path) -> None:
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
        console.print(line)


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


def show_findings(weights: Path | None, work_dir: str) -> bool:
    """Print one line per finding of the doctor; False when any failed."""
    from flows.cli.doctor import iterate

    console = Console(highlight=False, soft_wrap=True)
    healthy = True
    for finding in iterate(Workspace.at(work_dir).root, weights):
        healthy &= finding.verdict != "fail"
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        console.print(f"{MARKS[finding.verdict]} {finding.name}: {finding.detail}{remedy}")
    return healthy
