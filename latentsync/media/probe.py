"""Exact frame and sample counts, sizes and formats of the input files, or a refusal that says what to do."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from latentsync.errors import InputError, UnusableFile
from latentsync.media.audio import FROM_ZERO
from latentsync.media.bounds import refuse_odd_sound, refuse_timeline
from latentsync.media.container import Description, describe, enterable, nominal_rate, rotation
from latentsync.media.damage import MIN_COMPLETE_PERCENT, WHOLE, by_bytes, of, refuse_incomplete
from latentsync.media.decode import decode_command, on_timeline, pixel_format, range_stream
from latentsync.media.ffmpeg import QUIET, Ffmpeg, run
from latentsync.media.hdr import hdr_metadata
from latentsync.media.opening import media_input
from latentsync.media.packets import Packets, walk_packets
from latentsync.media.pixels import planar_format, source_tags
from latentsync.records import Artefact, AudioInfo, VideoInfo

MAX_PEAK = 100.0  # of a sample, 40 dB over full scale: no sound, and no encoder takes it
CHUNK_BYTES = 1 << 20
TAIL_SECONDS = 2  # decoded to find the last frame


def probe_video(path: Path, fps: Fraction | None, min_complete_percent: int = MIN_COMPLETE_PERCENT) -> VideoInfo:
    """Describe the video of ``path`` on a timeline of ``fps`` frames/s (None: its own rate).

    Raises InputError for whatever cannot be read, and for what is there to less than
    ``min_complete_percent``; warns of what is there in part.
    """
    found = describe(path)
    walked = walk_packets(found, found.video_stream())
    refuse_incomplete(found.path, min(by_bytes(found.path), walked.complete), min_complete_percent)
    return video_info(found, walked, fps)


def video_info(found: Description, walked: Packets, fps: Fraction | None) -> VideoInfo:
    """The record of a file that was described and walked; decodes its last frames to count them all."""
    stream = found.video_stream()
    rate = fps or nominal_rate(stream)
    refuse_timeline(found.path, rate)
    sequential = not (enterable(found) and walked.clean_entry)
    turn = rotation(stream)
    pix_fmt, tags = planar_format(stream["pix_fmt"], stream["width"], stream["height"], turn), source_tags(stream)
    picture = pixel_format(pix_fmt, tags["color_range"] == "pc")
    width, height, ratio, frames = _read_tail(
        found.path, stream["index"], rate, sequential, picture, walked.end_seconds
    )
    return VideoInfo(
        file=Artefact.of(found.path),
        stream=stream["index"],
        container=found.container,
        codec=stream["codec_name"],
        width_px=width,
        height_px=height,
        fps=rate,
        source_fps=nominal_rate(stream),
        frames=frames,
        pix_fmt=pix_fmt,
        sample_aspect_ratio=ratio,
        rotation_degrees=turn,
        has_audio=found.has_audio,
        **hdr_metadata(found, stream),
        sequential=sequential,
        **tags,
    )


def probe_audio(path: Path, min_complete_percent: int = MIN_COMPLETE_PERCENT) -> AudioInfo:
    """Describe the (default) sound track of an audio or video file, counted to the sample.

    Sound that starts late is preceded by silence, as everywhere in `audio`. Refuses and warns as
    ``probe_video`` does; packets that cannot be decoded count as missing.
    """
    found = describe(path)
    stream = found.audio_stream()
    rate_hz, channels = int(stream["sample_rate"]), int(stream["channels"])
    walked = walk_packets(found, stream)
    refuse_odd_sound(found.path, rate_hz, channels, walked.longest_hole_seconds)
    samples, lost_packets = _decode_sound(found.path, stream["index"], channels)
    decoded = of(walked.count - lost_packets, walked.count, "packets of sound", "is damaged") if lost_packets else WHOLE
    refuse_incomplete(found.path, min(by_bytes(found.path), walked.complete, decoded), min_complete_percent)
    if not samples:
        raise UnusableFile(f"{path}: its sound cannot be decoded; it is damaged or copy-protected, export it again")
    return AudioInfo(
        file=Artefact.of(found.path),
        stream=stream["index"],
        codec=stream["codec_name"],
        sample_rate_hz=rate_hz,
        channels=channels,
        samples=samples,
    )


def _read_tail(
    path: Path, index: int, fps: Fraction, sequential: bool, picture: str, end_seconds: Fraction
) -> tuple[int, int, Fraction, int]:
    """Width, height, sample aspect ratio and number of frames, from the reader of all frames itself."""
    tail = max(0, int((end_seconds - TAIL_SECONDS) * fps))
    for start in (tail, 0):
        stream = range_stream(path, index, fps, start, sequential, threads=2)
        command = decode_command(stream, [*on_timeline(fps, start, None), picture], format="framecrc")
        try:
            lines = run(command, path, probing=True).splitlines()
        except InputError as error:
            raise UnusableFile(f"{error}; the file is damaged or copy-protected, export it again") from error
        header = dict(line.split(": ", 1) for line in lines if line.startswith("#"))
        rows = [line for line in lines if not line.startswith("#")]
        if rows:
            width, height = map(int, header["#dimensions 0"].split("x"))
            above, below = map(int, header["#sar 0"].split("/"))
            return width, height, Fraction(above or 1, below if above else 1), int(rows[-1].split(",")[2]) + 1
    raise UnusableFile(f"{path}: no picture can be decoded; it is damaged or copy-protected, export it again")


def _decode_sound(path: Path, index: int, channels: int) -> tuple[int, int]:
    """Samples per channel at the native rate, and packets that could not be decoded; refuses what is no sound."""
    sound = media_input(path)[str(index)].output("pipe:1", af=FROM_ZERO, format="f32le", acodec="pcm_f32le")
    size = 0
    with Ffmpeg(sound.global_args(*QUIET).compile(), path, stdout=True, probing=True) as process:
        while chunk := process.stdout.read(CHUNK_BYTES):
            size += len(chunk)
            peak = np.abs(np.frombuffer(chunk, np.float32)).max()
            if not peak <= MAX_PEAK:  # NaN is neither
                what = f"its sound has samples of {peak:.6g} at {size / (4 * channels):.0f}, full scale is 1"
                raise UnusableFile(f"{path}: {what}; export it again, as 16-bit WAV")
        process.finish()
        return size // (4 * channels), process.damaged()
