from fractions import Fraction
from pathlib import Path

import pytest

from latentsync.errors import InternalError
from latentsync.media.audio import mux, output_samples
from latentsync.media.probe import probe_audio
from latentsync.media.timeline import Timeline
from latentsync.stitching.check import check_output
from latentsync.stitching.join import join_clips
from tests.synthetic import ffmpeg, make_sound, make_video

pytestmark = pytest.mark.slow

FPS = Fraction(25)
GOOD = {"frames": 50, "fps": FPS, "width": 320, "height": 240, "clip_starts": [0, 20], "audio_seconds": Fraction(2)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two joined clips of 20 and 30 frames with 2 s of sound."""
    folder = tmp_path_factory.mktemp("finished")
    clips = [make_video(folder / f"{count}.mp4", count, FPS) for count in (20, 30)]
    join_clips(clips, [20, 30], FPS, folder / "silent.mp4")
    audio = probe_audio(make_sound(folder / "a.wav", 32_000, 16_000))
    timeline = Timeline(fps=FPS, frames=50, source_frames=50, voice_frames=50, source="cut")
    return mux(folder / "silent.mp4", audio, timeline, folder / "out.mp4")


def test_a_good_file_passes(finished):
    check_output(finished, **GOOD)


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30), Fraction(30_000, 1001), Fraction(60)], ids=str)
@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_matroska_passes_at_any_rate(tmp_path: Path, fps: Fraction, rate_hz: int) -> None:
    clips = [make_video(tmp_path / f"{count}.mp4", count, fps) for count in (50, 70)]
    join_clips(clips, [50, 70], fps, tmp_path / "silent.mp4")
    audio = probe_audio(make_sound(tmp_path / "a.wav", 5 * rate_hz, rate_hz))
    timeline = Timeline(fps=fps, frames=120, source_frames=120, voice_frames=120, source="cut")
    out = mux(tmp_path / "silent.mp4", audio, timeline, tmp_path / "out.mkv")
    seconds = Fraction(output_samples(timeline, audio, (0, 120))[1], rate_hz)
    check_output(out, frames=120, fps=fps, width=320, height=240, clip_starts=[0, 50], audio_seconds=seconds)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"frames": 51}, "number of frames: 50, promised 51"),
        ({"fps": Fraction(24)}, "out of step"),
        ({"width": 322}, r"size: \(320, 240\), promised \(322, 240\)"),
        ({"clip_starts": [0, 21]}, r"without a key frame: \[21\]"),
        ({"audio_seconds": Fraction(5, 2)}, "lasts 2.0"),
        ({"audio_seconds": None}, "sound tracks: 1, promised 0"),
    ],
)
def test_what_is_not_as_promised_is_named(finished, change, complaint):
    with pytest.raises(InternalError, match=complaint):
        check_output(finished, **GOOD | change)


def test_a_lost_sound_track_is_noticed(finished, tmp_path):
    ffmpeg("-i", finished, "-an", "-c", "copy", tmp_path / "mute.mp4")
    with pytest.raises(InternalError, match="sound tracks: 0, promised 1"):
        check_output(tmp_path / "mute.mp4", **GOOD)


def test_a_damaged_seam_is_noticed(finished, tmp_path):
    """The first packet of the second clip, overwritten."""
    import av

    with av.open(str(finished)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        key = next(packet for packet in packets[1:] if packet.is_keyframe)
        at, size = key.pos, key.size
    assert at is not None
    content = bytearray(finished.read_bytes())
    content[at + 4 : at + size] = b"\xff" * (size - 4)
    (tmp_path / "damaged.mp4").write_bytes(content)
    with pytest.raises(InternalError, match=r"damaged\.mp4"):
        check_output(tmp_path / "damaged.mp4", **GOOD)
