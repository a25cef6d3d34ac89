"""What is in this file? Exact frame and sample counts, or a refusal that says what to do."""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg

from latentsync.errors import InputError
from latentsync.media.decode import LAYOUTS, decode_command, layout_of, on_timeline, pixel_format, range_stream
from latentsync.media.ffmpeg import QUIET, Ffmpeg, run
from latentsync.records import Artefact, AudioInfo, VideoInfo

# Demuxers that land on the key frame before the asked time: the others are read from the start.
ENTERABLE = {"mov", "matroska", "webm", "avi", "flv", "asf", "mxf"}
STATES_DURATION = {"mov", "matroska", "webm", "avi", "flv", "asf", "mxf", "wav", "w64", "flac", "aiff", "caf"}
SLACK_SECONDS = Fraction(1, 2)  # containers round durations, and the last sample may lack its own
TAIL_SECONDS = 2  # decoded to find the last frame
STANDARD_RATES = [Fraction(n * 1000, d) for n in (24, 25, 30, 48, 50, 60, 120) for d in (1000, 1001)]


@dataclass(frozen=True)
class Description:
    """What ffprobe says of a file: its format, and its first real video and audio stream."""

    path: Path
    format: dict[str, Any]
    video: dict[str, Any] | None
    audio: dict[str, Any] | None

    @property
    def container(self) -> str:
        """ffmpeg's name of the demuxer, such as ``mov,mp4,m4a,3gp,3g2,mj2``."""
        return self.format["format_name"]

    def is_any_of(self, containers: set[str]) -> bool:
        """Whether the demuxer goes by one of these names."""
        return not containers.isdisjoint(self.container.split(","))


@dataclass(frozen=True)
class Packets:
    """What a walk over all packets found, in seconds from the start of the file."""

    end_seconds: Fraction  # of the video stream
    longest_gop_seconds: Fraction


def probe_video(path: Path, fps: Fraction | None) -> VideoInfo:
    """Describe the video of ``path`` on a timeline of ``fps`` frames/s (None: its own rate).

    Raises InputError for whatever cannot be read to its end.
    """
    found = describe(path)
    stream = _video_stream(found)
    walked = walk_packets(found)
    rate = fps or nominal_rate(stream)
    sequential = not enterable(found)
    pix_fmt, tags = _pixels(stream)
    width, height, sample_aspect_ratio, frames = _read_tail(found.path, rate, sequential, pix_fmt, tags, walked)
    video = VideoInfo(
        file=Artefact.of(found.path),
        container=found.container,
        codec=stream["codec_name"],
        width_px=width,
        height_px=height,
        fps=rate,
        source_fps=nominal_rate(stream),
        frames=frames,
        pix_fmt=pix_fmt,
        sample_aspect_ratio=sample_aspect_ratio,
        rotation_degrees=_rotation(stream),
        has_audio=found.audio is not None,
        sequential=sequential,
        **tags,
    )
    layout_of(video)
    return video


def probe_audio(path: Path) -> AudioInfo:
    """Describe the (first) sound track of an audio or video file, counted to the sample.

    Sound that starts late is preceded by silence, as `audio.sound_of` renders it.
    """
    found = describe(path)
    stream = found.audio
    if stream is None:
        raise InputError(f"{path}: has no sound; give an audio file, or a video with a sound track")
    rate = int(stream["sample_rate"])
    samples = _count_samples(found.path)
    promised = _promised_seconds(found, stream)
    if not samples or (promised and samples < (promised - SLACK_SECONDS) * rate):
        raise InputError(
            f"{path}: its sound ends after {samples / rate:.2f} s of {float(promised or 0):.2f} s; "
            "the file is truncated or damaged, copy or export it again"
        )
    return AudioInfo(
        file=Artefact.of(found.path),
        codec=stream["codec_name"],
        sample_rate_hz=rate,
        channels=int(stream["channels"]),
        samples=samples,
    )


def describe(path: Path) -> Description:
    """Ask ffprobe; refuses what is no readable media file."""
    path = path.absolute()
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    if not path.is_file():
        raise InputError(f"{path}: is not a file; give one video or audio file")
    if not path.stat().st_size:
        raise InputError(f"{path}: is empty (0 bytes); copy or export it again")
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", str(path)]
    try:
        found = json.loads(run(command, path))
    except InputError as error:
        raise InputError(f"{error}; this is no media file, or it is damaged or truncated: export it again") from error
    streams = found.get("streams", [])
    pictures = [s for s in streams if s["codec_type"] == "video" and not s["disposition"]["attached_pic"]]
    sounds = [s for s in streams if s["codec_type"] == "audio"]
    return Description(path, found["format"], next(iter(pictures), None), next(iter(sounds), None))


def enterable(found: Description) -> bool:
    """Whether the demuxer finds the way to a time in the middle: a known one, with an index."""
    return found.is_any_of(ENTERABLE) and "duration" in found.format


def walk_packets(found: Description) -> Packets:
    """Read all packets (no decoding); refuses a file that ends before its container says."""
    start = end = whole_end = longest = key = Fraction(0)
    video = found.video and found.video["index"]
    try:
        with av.open(str(found.path)) as container:
            start = Fraction(container.start_time or 0, 1_000_000)
            for packet in container.demux():
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is None or not packet.size:
                    continue
                time = stamp * packet.time_base
                whole_end = max(whole_end, time + (packet.duration or 0) * packet.time_base)
                if packet.stream_index == video:
                    end = max(end, time + (packet.duration or 0) * packet.time_base)
                    longest = max(longest, time - key)
                    key = time if packet.is_keyframe else key
    except av.FFmpegError as error:
        raise InputError(f"{found.path}: is damaged or truncated ({error}); copy or export it again") from error
    promised = _promised_seconds(found)
    if promised and whole_end < promised - SLACK_SECONDS:
        raise InputError(
            f"{found.path}: ends at {float(whole_end):.2f} s of the {float(promised):.2f} s that it promises; "
            "it is truncated, copy or export it again"
        )
    return Packets(end - start, longest)


def nominal_rate(stream: dict[str, Any]) -> Fraction:
    """The stream's average rate, taken as a standard rate when within 0.1 % of one."""
    rate = Fraction(stream["avg_frame_rate"]) if stream["avg_frame_rate"] != "0/0" else Fraction(0)
    rate = rate or Fraction(stream["r_frame_rate"])
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(nearest - rate) * 1000 < rate else rate.limit_denominator(1001)


def planar_format(pix_fmt: str, width: int, height: int, rotation: int) -> str:
    """The planar YUV format that holds ``pix_fmt``: same depth (9 as 10, above 12 as 12), same chroma.

    4:4:4 stands in for RGB and for what H.264 cannot code: odd 4:2:0, 4:2:2 turned by 90 degrees.
    """
    format = av.VideoFormat(pix_fmt, 16, 16)
    depth = max(component.bits for component in format.components)
    shifts = (4 - format.chroma_width().bit_length() + 1, 4 - format.chroma_height().bit_length() + 1)
    if format.is_rgb or format.has_palette:
        shifts, depth = (0, 0), max(depth, 8)
    elif len(format.components) < 3:
        shifts = (1, 1)  # grey: no chroma to lose
    names = {shifts: name for name, shifts in LAYOUTS.items()}
    name = names.get(shifts, "yuv444p")
    turned = rotation % 180 != 0
    width, height = (height, width) if turned else (width, height)
    shift_x, shift_y = LAYOUTS[name]
    if (turned and shift_x != shift_y) or (shift_x and width % 2) or (shift_y and height % 2):
        name = "yuv444p"
    return name + ("" if depth == 8 else "10le" if depth <= 10 else "12le")


def _video_stream(found: Description) -> dict[str, Any]:
    stream = found.video
    if stream is None:
        what = "has sound only" if found.audio else "has neither moving pictures nor sound"
        raise InputError(f"{found.path}: {what}; give a video file")
    if stream.get("codec_name") in (None, "unknown", "ansi") or "pix_fmt" not in stream:
        raise InputError(
            f"{found.path}: its pictures cannot be decoded (codec {stream.get('codec_name')}, "
            f"tag {stream.get('codec_tag_string')}); convert it to H.264, without copy protection"
        )
    return stream


def _pixels(stream: dict[str, Any]) -> tuple[str, dict[str, str | None]]:
    """Planar format to decode to, and the colour tags that are true for it."""
    source = av.VideoFormat(stream["pix_fmt"], 16, 16)
    pix_fmt = planar_format(stream["pix_fmt"], stream["width"], stream["height"], _rotation(stream))
    names = ("color_range", "color_space", "color_primaries", "color_transfer")
    tags = {name: None if stream.get(name) in ("unknown", "reserved") else stream.get(name) for name in names}
    if stream["pix_fmt"].startswith("yuvj"):
        tags["color_range"] = "pc"
    if source.is_rgb or source.has_palette or len(source.components) < 3:
        tags |= {"color_range": "tv", "color_space": "smpte170m"}  # what swscale makes of RGB
    return pix_fmt, tags


def _rotation(stream: dict[str, Any]) -> int:
    angles = [int(side["rotation"]) for side in stream.get("side_data_list", []) if "rotation" in side]
    return angles[0] % 360 if angles else 0


def _read_tail(
    path: Path, fps: Fraction, sequential: bool, pix_fmt: str, tags: dict[str, str | None], walked: Packets
) -> tuple[int, int, Fraction, int]:
    """Width, height, sample aspect ratio and number of frames, from the reader of all frames itself."""
    tail = max(0, int((walked.end_seconds - TAIL_SECONDS) * fps))
    for start in (tail, 0):
        stream = range_stream(path, fps, start, sequential, threads=2)
        filters = [*on_timeline(fps, start, None), pixel_format(pix_fmt, tags["color_range"] == "pc")]
        command = decode_command(stream, filters, format="framecrc")
        with Ffmpeg(command, path, stdout=True) as process:
            lines = process.stdout.read().decode().splitlines()
            process.finish()
            said = process.complaint()
        header = dict(line.split(": ", 1) for line in lines if line.startswith("#"))
        rows = [line for line in lines if not line.startswith("#")]
        if rows:
            width, height = map(int, header["#dimensions 0"].split("x"))
            ratio = Fraction(header["#sar 0"]) if not header["#sar 0"].endswith("/0") else Fraction(0)
            return width, height, ratio or Fraction(1), int(rows[-1].split(",")[2]) + 1
    raise InputError(f"{path}: no picture can be decoded ({said}); it is damaged or copy-protected, export it again")


def _promised_seconds(found: Description, stream: dict[str, Any] | None = None) -> Fraction | None:
    """Duration that the container states (of one stream, or of all), None where it is only an estimate."""
    stated = (stream or found.format).get("duration")
    return Fraction(stated) if stated and found.is_any_of(STATES_DURATION) else None


def _count_samples(path: Path) -> int:
    """Samples per channel, counted as one byte each at the native rate."""
    sound = ffmpeg.input(str(path))["a:0"].output(
        "pipe:1", af="aresample=async=1:first_pts=0", format="u8", acodec="pcm_u8", ac=1
    )
    with Ffmpeg(sound.global_args(*QUIET).compile(), path, stdout=True) as process:
        count = 0
        while chunk := process.stdout.read(1 << 20):
            count += len(chunk)
        process.finish()
    return count
