"""Small films of a job that every browser plays: the source as it lies on the timeline, and the result."""

import shutil
from contextlib import closing
from pathlib import Path

from latentsync.errors import InternalError
from latentsync.job import Job
from latentsync.media.decode import read_timeline
from latentsync.media.encode import ClipWriter
from latentsync.media.ffmpeg import QUIET, REPRODUCIBLE, run
from latentsync.media.opening import media_input
from latentsync.media.pixels import layout_of
from latentsync.review.files import RESULT, SOURCE
from latentsync.storage.atomic import OUTPUT, whole_file

SIDE_PX = 480  # of the shorter side
FIT = f"scale='if(gt(iw,ih),-2,min({SIDE_PX},iw))':'if(gt(iw,ih),min({SIDE_PX},ih),-2)',setsar=1"
SMALL = {"vf": FIT, "pix_fmt": "yuv420p", "c:v": "libx264", "preset": "veryfast", "crf": 27, "threads": 2}


def write_previews(job: Job, span: tuple[int, int], output: Path, folder: Path) -> None:
    """Write ``source.mp4`` (without sound) and ``result.mp4``, of frames ``span``, with a key frame every second."""
    small = {**SMALL, "g": round(job.timeline.fps), "movflags": "+faststart"}
    _write_result(output, folder / RESULT, small)
    _write_source(job, span, folder / SOURCE, small)
    shutil.copymode(folder / RESULT, folder / SOURCE)  # for people, where other clips are their owner's only


def _write_source(job: Job, span: tuple[int, int], out: Path, small: dict[str, str | int]) -> None:
    video, frames = job.video, span[1] - span[0]
    raw = {"pix_fmt": video.pix_fmt, "s": f"{video.width_px}x{video.height_px}", "framerate": str(video.fps)}
    source = read_timeline(video, job.timeline, *span)
    with closing(source), ClipWriter(out, frames, layout_of(video).frame_bytes, raw, small) as clip:
        for frame in source:
            clip.write_planes(frame.planes())


def _write_result(output: Path, out: Path, small: dict[str, str | int]) -> None:
    result = media_input(output)
    with whole_file(out, OUTPUT) as part:
        written = {**small, "c:a": "aac", "ac": 2, "b:a": "96k", "fps_mode": "passthrough", **REPRODUCIBLE}
        command = result["v:0"].output(result["a:0"], str(part), **written).global_args(*QUIET, "-y")
        run(command.compile(), output, InternalError)
