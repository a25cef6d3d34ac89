"""Looks at key frames: the right ones, as ffmpeg shows them, whatever the container counts from."""

from contextlib import closing
from fractions import Fraction

import numpy as np
import pytest

from latentsync.errors import InputError
from latentsync.media.decode import read_rgb
from latentsync.media.key_frames import read_key_frames
from latentsync.media.opening import open_media
from latentsync.media.probe import probe_video
from tests.synthetic import HEIGHT_PX, WIDTH_PX, ffmpeg, make_video, read_number

INTERVAL = Fraction(3, 5)
GOP = ["-preset", "ultrafast", "-bf", "2", "-g", "25", "-sc_threshold", "0"]


def looks(video, frames=100):
    scale, pictures = read_key_frames(video, INTERVAL, frames, WIDTH_PX)
    assert scale == 1
    with closing(pictures):
        return list(pictures)


@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("closed.mp4", ["-c:v", "libx264", *GOP]),
        ("offset.mkv", ["-c:v", "libx264", *GOP, "-output_ts_offset", "7.3"]),
        ("open.mp4", ["-c:v", "libx265", *GOP, "-x265-params", "open-gop=1:log-level=none"]),
    ],
)
def test_each_is_the_last_key_frame_up_to_its_time(tmp_path, name, coding):
    video = probe_video(make_video(tmp_path / name, 100, 25, coding), None)
    expected = [int(sample * INTERVAL * 25) // 25 * 25 for sample in range(7)]
    assert [read_number(rgb[..., 1]) for rgb in looks(video)] == expected
    assert len(looks(video, 31)) == 3


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_video_is_turned_as_ffmpeg_does(tmp_path, degrees):
    plain = make_video(tmp_path / "plain.mp4", 30, 25)
    ffmpeg("-i", plain, "-c", "copy", "-metadata:s:v:0", f"rotate={degrees}", tmp_path / "turned.mp4")
    video = probe_video(tmp_path / "turned.mp4", None)
    size_px = (HEIGHT_PX, WIDTH_PX) if degrees % 180 else (WIDTH_PX, HEIGHT_PX)
    assert (video.width_px, video.height_px) == size_px
    _, own = read_rgb(video, 0, 1, WIDTH_PX)
    with closing(own):
        difference = np.abs(looks(video, 30)[0].astype(int) - next(own))
    assert difference.mean() < 1


@pytest.mark.parametrize(
    ("damaged", "seen"), [([1], [0, 0, 0, 0, 50, 75, 75]), ([0], [25, 25, 25, 25, 50, 75, 75]), ([0, 1, 2, 3], None)]
)
def test_a_damaged_one_shows_another(tmp_path, damaged, seen):
    path = make_video(tmp_path / "video.mp4", 100, 25, ["-c:v", "libx264", *GOP])
    video, data = probe_video(path, None), bytearray(path.read_bytes())
    with open_media(path) as container:
        keys = [(packet.pos, packet.size) for packet in container.demux() if packet.is_keyframe]
    for position, size in (keys[number] for number in damaged):
        data[position : position + size] = bytes(size)
    path.write_bytes(data)
    if seen:
        assert [read_number(rgb[..., 1]) for rgb in looks(video)] == seen
    else:
        with pytest.raises(InputError, match="no picture can be decoded"):
            looks(video)
