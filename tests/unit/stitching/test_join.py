import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest

from latentsync.errors import InternalError
from latentsync.media.probe import probe_video
from latentsync.stitching.join import join_clips
from tests.synthetic import make_video

BFRAMES = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-vf", "setsar=1"]
HEVC = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:bframes=3"]


def make_clips(folder: Path, counts: list[int], fps: Fraction, coding: list[str], suffix: str) -> list[Path]:
    return [make_video(folder / f"{n}{suffix}", count, fps, coding) for n, count in enumerate(counts)]


def decoded(path: Path) -> bytes:
    command = ["ffmpeg", "-v", "warning", "-i", str(path), "-f", "rawvideo", "-fps_mode", "passthrough", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert not done.stderr, done.stderr.decode()
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("fps", ["24000/1001", "25", "30000/1001", "60"])
@pytest.mark.parametrize(("suffix", "coding"), [(".mp4", BFRAMES), (".mkv", BFRAMES), (".mkv", HEVC)])
def test_joined_clips_show_all_frames_evenly(tmp_path, fps, suffix, coding):
    fps, counts = Fraction(fps), [20, 1, 33]
    clips = make_clips(tmp_path, counts, fps, coding, suffix)
    out = tmp_path / "joined.mp4"
    assert join_clips(clips, counts, fps, out) == 54
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        shown = sorted(packet.pts * packet.time_base * fps for packet in packets if packet.pts is not None)
        stamps = [packet.dts for packet in packets if packet.dts is not None]
        assert shown == list(range(54))
        assert len(stamps) == 54
        assert stamps == sorted(set(stamps))
        assert stream.average_rate == fps
    assert decoded(out) == b"".join(decoded(clip) for clip in clips)
    assert probe_video(out, None).frames == 54


def test_clips_of_other_settings_are_not_joined(tmp_path):
    clips = [
        make_video(tmp_path / "a.mp4", 5, 25, BFRAMES),
        make_video(tmp_path / "b.mp4", 5, 25, [*BFRAMES, "-vf", "setsar=4/3"]),
    ]
    with pytest.raises(InternalError, match=r"b\.mp4: its codec headers differ"):
        join_clips(clips, [5, 5], Fraction(25), tmp_path / "joined.mp4")


def test_a_clip_that_lacks_a_frame_is_not_joined(tmp_path):
    clips = make_clips(tmp_path, [5, 4], Fraction(25), BFRAMES, ".mp4")
    with pytest.raises(InternalError, match=r"1\.mp4: holds 4 frames, not the 5 promised"):
        join_clips(clips, [5, 5], Fraction(25), tmp_path / "joined.mp4")
    assert not (tmp_path / "joined.mp4").exists()
