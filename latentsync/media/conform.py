"""Files that cannot be entered reliably in the middle are rewritten once; the copy is then the source."""

import contextlib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import ffmpeg

from latentsync.errors import InputError
from latentsync.media.container import Description, describe, enterable, nominal_rate
from latentsync.media.damage import MIN_COMPLETE_PERCENT, by_bytes, refuse_incomplete
from latentsync.media.ffmpeg import QUIET, REPRODUCIBLE, run
from latentsync.media.opening import media_input
from latentsync.media.packets import walk_packets
from latentsync.media.probe import video_info
from latentsync.records import VideoInfo, file_sha256
from latentsync.storage.atomic import whole_file
from latentsync.storage.workspace import Workspace

LONGEST_GOP_SECONDS = 60  # a range read decodes up to one GOP; beyond this, one lossless copy is cheaper
COPY = {"codec": "copy"}
COPY_PICTURES = {"c:v": "copy", "c:a": "flac"}
LOSSLESS = {"c:v": "ffv1", "level": 3, "g": 1, "slices": 4, "c:a": "flac"}


def prepare_video(
    path: Path, fps: Fraction | None, work_dir: Path, min_complete_percent: int = MIN_COMPLETE_PERCENT
) -> VideoInfo:
    """Probe ``path``; where it needs it, first write a conformed copy into ``work_dir`` and probe that.

    MPEG-TS and other streams without an index are remuxed, without loss and in a second; files of one
    endless GOP, without clean entry points or with frames that have no time, are recoded losslessly.
    ``VideoInfo.file`` is the file to read from then on. Raises InputError as ``probe_video`` does.
    """
    found = describe(path)
    found.video_stream()  # refuse before any copy is made
    refuse_incomplete(found.path, by_bytes(found.path), min_complete_percent)
    if not enterable(found):
        found = describe(_remuxed(found, work_dir))
    walked = walk_packets(found, found.video_stream())
    refuse_incomplete(found.path, walked.complete, min_complete_percent)
    if walked.untimed:
        found = describe(_copy(found, work_dir / _name("retimed", found), LOSSLESS | _at_rate(found)))
        walked = walk_packets(found, found.video_stream())
    elif walked.longest_gop_seconds > LONGEST_GOP_SECONDS or not walked.clean_entry:
        found = describe(_copy(found, work_dir / _name("lossless", found), LOSSLESS))
        walked = walk_packets(found, found.video_stream())
    return video_info(found, walked, fps)


def _remuxed(found: Description, work_dir: Path) -> Path:
    """The cheapest copy into Matroska that works: some sound codecs, or missing time stamps, forbid the first."""
    for how, codecs in (("remuxed", COPY), ("remuxed-flac", COPY_PICTURES)):
        with contextlib.suppress(InputError):
            return _copy(found, work_dir / _name(how, found), codecs)
    return _copy(found, work_dir / _name("lossless", found), LOSSLESS)


def _at_rate(found: Description) -> dict[str, str | int]:
    """Options that put all frames and samples behind each other from time 0."""
    return {"vf": f"setpts=N/({nominal_rate(found.video_stream())})/TB", "af": "asetpts=N/SR/TB"}


def _name(how: str, found: Description) -> str:
    return f"{how}-{file_sha256(found.path)[:16]}.mkv"


def _copy(found: Description, out: Path, codecs: Mapping[str, str | int]) -> Path:
    """Write the default pictures and sound to ``out``, once: the name stands for the content."""
    out.parent.mkdir(parents=True, exist_ok=True)
    source = media_input(found.path, fflags="+genpts")  # MPEG-PS lacks some
    tracks = [found.video_stream(), *([found.audio_stream()] if found.has_audio else [])]
    with Workspace(out.parent).once(out) as is_made:
        if is_made:
            return out
        with whole_file(out) as part:
            output = ffmpeg.output(
                *(source[str(track["index"])] for track in tracks),
                str(part),
                fps_mode="passthrough",
                **codecs,
                **REPRODUCIBLE,
            )
            run(output.global_args(*QUIET, "-y").compile(), found.path, writes=part)
    return out
