"""The voice: as 16 kHz mono for analysis, and in the finished file, exact to the sample."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import ffmpeg

from latentsync.errors import InternalError
from latentsync.media.ffmpeg import QUIET, REPRODUCIBLE, run
from latentsync.media.opening import media_input, open_media
from latentsync.media.timeline import Timeline
from latentsync.records import AudioInfo
from latentsync.storage.atomic import whole_file

VOICE_HZ = 16_000
AAC_RATES_HZ = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
STEREO_KBPS = 192  # AAC, also for mono
SURROUND_KBPS_PER_CHANNEL = 64  # 5.1 at 384 kbit/s, as on broadcast
LAYOUT_NAMES = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
# Time 0 is the file's own: sound that starts later gets silence before it, holes are filled.
FROM_ZERO = "aresample=async=1:first_pts=0"
MOV_SUFFIXES = {".mp4", ".m4v", ".mov"}
MP4_TAGS = {"comment"}  # written without further ado; any other needs a list of names of its own
NO_TAGS: Mapping[str, str] = {}


def extract_mono_16k(audio: AudioInfo, out: Path) -> Path:
    """Write the sound as 16 kHz mono 16-bit WAV of ``ceil(samples * 16000 / rate)`` samples."""
    with whole_file(out) as part:
        run(mono_16k(audio, str(part), format="wav").global_args(*QUIET, "-y").compile(), audio.file.path)
    return out


def mono_16k(audio: AudioInfo, out: str, format: str) -> Any:
    """ffmpeg's command for the sound as 16 kHz mono 16-bit PCM of ``ceil(samples * 16000 / rate)`` samples."""
    samples = -(-audio.samples * VOICE_HZ // audio.sample_rate_hz)
    filters = f"{FROM_ZERO},aresample={VOICE_HZ},aformat=channel_layouts=mono,apad,atrim=end_sample={samples}"
    sound = media_input(audio.file.path)[str(audio.stream)]
    return sound.output(out, af=filters, acodec="pcm_s16le", ar=VOICE_HZ, format=format)


def mux(
    video_only: Path,
    audio: AudioInfo,
    timeline: Timeline,
    out: Path,
    *,
    span: tuple[int, int] | None = None,
    tail: Literal["silence", "original"] = "silence",
    original: AudioInfo | None = None,
    tags: Mapping[str, str] = NO_TAGS,
) -> Path:
    """Put the voice beside the joined video, which is copied; the sound is that of frames ``span`` (None: all).

    Channels and rate are those of ``audio`` (the next AAC rate where AAC has no such rate). When the
    video goes on after the voice, ``tail`` says what is heard: silence, or ``original``'s own sound.
    ``tags`` are metadata of the file; names that MP4 and MOV do not know are written as they are.
    """
    rate = aac_rate(audio.sample_rate_hz)
    start, end = output_samples(timeline, audio, span or (0, timeline.frames))
    video = media_input(video_only)["v:0"]
    sound = _trimmed(audio, rate, start, end)
    if tail == "original" and original and timeline.voice_frames < timeline.frames:
        voice = max(start, min(end, -(-audio.samples * rate // audio.sample_rate_hz)))
        parts = _trimmed(audio, rate, start, voice), _trimmed(original, rate, voice, end)
        sound = _joined(*parts, audio.channels) if voice > start else parts[1]
    coding = {"c:v": "copy", "c:a": "aac", "b:a": 1000 * max(STEREO_KBPS, SURROUND_KBPS_PER_CHANNEL * audio.channels)}
    coding |= {f"metadata:g:{number}": f"{name}={value}" for number, (name, value) in enumerate(tags.items())}
    if out.suffix.lower() in MOV_SUFFIXES:
        # Edit lists count in movie time: milliseconds by default, too coarse for samples.
        flags = "+faststart+use_metadata_tags" if set(tags) - MP4_TAGS else "+faststart"
        coding |= {"movflags": flags, "movie_timescale": rate, **_apple_tag(video_only)}
    else:
        # Else Matroska's pictures begin late, by the samples that AAC needs before its first.
        coding |= {"avoid_negative_ts": "disabled"}
    with whole_file(out) as part:
        output = ffmpeg.output(video, sound, str(part), ac=audio.channels, **coding, **REPRODUCIBLE)
        run(output.global_args(*QUIET, "-y").compile(), out, InternalError, writes=part)
    return out


def output_samples(timeline: Timeline, audio: AudioInfo, span: tuple[int, int]) -> tuple[int, int]:
    """First and last sample, half-open, of the sound of frames ``span``: ``floor(frame * rate / fps)``."""
    start, end = (int(frame * aac_rate(audio.sample_rate_hz) / timeline.fps) for frame in span)
    return start, end


def aac_rate(rate_hz: int) -> int:
    """The rate itself where AAC has it, else the next higher one, at most 96 kHz."""
    return min((rate for rate in AAC_RATES_HZ if rate >= rate_hz), default=AAC_RATES_HZ[-1])


def _apple_tag(video: Path) -> dict[str, str]:
    """Apple's players want HEVC called hvc1; the muxer's default is hev1."""
    with open_media(video) as container:
        return {"tag:v": "hvc1"} if container.streams.video[0].codec.canonical_name == "hevc" else {}


def _trimmed(audio: AudioInfo, rate: int, start: int, end: int) -> Any:
    """Samples ``[start, end)`` at ``rate``, with silence where the sound has ended."""
    sound = media_input(audio.file.path)[str(audio.stream)]
    sound = sound.filter("aresample", **{"async": 1, "first_pts": 0}).filter("aresample", rate)
    return sound.filter("apad").filter("atrim", start_sample=start, end_sample=end).filter("asetpts", "N/SR/TB")


def _joined(voice: Any, rest: Any, channels: int) -> Any:
    if layout := LAYOUT_NAMES.get(channels):
        voice, rest = (part.filter("aformat", channel_layouts=layout) for part in (voice, rest))
    return ffmpeg.concat(voice, rest, v=0, a=1)
