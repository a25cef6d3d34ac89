"""Files that cannot be entered reliably in the middle are rewritten once; the copy is then the source."""

from fractions import Fraction
from pathlib import Path

import ffmpeg

from latentsync.errors import InputError
from latentsync.media.atomic import whole_file
from latentsync.media.ffmpeg import QUIET, run
from latentsync.media.probe import Description, describe, enterable, probe_video, walk_packets
from latentsync.records import VideoInfo, file_sha256

LONGEST_GOP_SECONDS = 60  # a range read decodes up to one GOP; beyond this, one lossless copy is cheaper
COPY = {"codec": "copy"}
LOSSLESS = {"c:v": "ffv1", "level": 3, "g": 1, "slices": 4, "c:a": "flac"}


def prepare_video(path: Path, fps: Fraction | None, work_dir: Path) -> VideoInfo:
    """Probe ``path``; where it needs it, first write a conformed copy into ``work_dir`` and probe that.

    MPEG-TS and other streams without an index are remuxed, without loss and in a second; files of one
    endless GOP are recoded losslessly. ``VideoInfo.file`` is the file to read from then on.
    """
    found = describe(path)
    if found.video and not enterable(found):
        path = _conformed(found, work_dir)
        found = describe(path)
    if found.video and walk_packets(found).longest_gop_seconds > LONGEST_GOP_SECONDS:
        path = _copy(found.path, work_dir / f"lossless-{file_sha256(found.path)[:16]}.mkv", LOSSLESS)
    return probe_video(path, fps)


def _conformed(found: Description, work_dir: Path) -> Path:
    name = f"{file_sha256(found.path)[:16]}.mkv"
    try:
        return _copy(found.path, work_dir / f"remuxed-{name}", COPY)
    except InputError:  # no time stamps to copy, or a codec that Matroska does not hold
        return _copy(found.path, work_dir / f"lossless-{name}", LOSSLESS)


def _copy(path: Path, out: Path, codecs: dict[str, str | int]) -> Path:
    """Write pictures and sound of ``path`` to ``out``, once: the name stands for the content."""
    if out.exists():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    source = ffmpeg.input(str(path))
    with whole_file(out) as part:
        output = ffmpeg.output(source["V:0"], source["a:0?"], str(part), fps_mode="passthrough", **codecs)
        run(output.global_args(*QUIET, "-y").compile(), path)
    return out
