"""HDR10's metadata and the place of chroma samples go from the source into the finished file."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import pytest
from av.sidedata.sidedata import SideData

from latentsync.media.audio import mux
from latentsync.media.decode import read_range
from latentsync.media.encode import VideoClipWriter
from latentsync.media.probe import probe_audio, probe_video
from latentsync.media.timeline import plan_timeline
from latentsync.settings import EncodeSettings
from latentsync.stitching.join import join_clips
from tests.synthetic import make_sound, make_video

pytestmark = pytest.mark.slow

FPS = Fraction(25)
DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
LIGHT = "1000,400"
TAGS = ["-color_range", "tv", "-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", "smpte2084"]
SOURCES = {
    "a.mp4": ["-c:v", "libx265", "-x265-params", f"log-level=none:master-display={DISPLAY}:max-cll={LIGHT}"],
    "a.mkv": ["-c:v", "libx264", "-x264-params", f"mastering-display={DISPLAY}:cll={LIGHT}:repeat-headers=1"],
}


def metadata_of_each_key_frame(path: Path) -> set[tuple[bytes, bytes]]:
    with av.open(str(path)) as container:
        frames = [frame for frame in container.decode(video=0) if frame.key_frame]
        sides = [
            {side.type.name: bytes(side) for side in cast(Iterable[SideData], frame.side_data)} for frame in frames
        ]
    return {(each["MASTERING_DISPLAY_METADATA"], each["CONTENT_LIGHT_LEVEL"]) for each in sides}


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
@pytest.mark.parametrize("name", SOURCES)
def test_the_finished_file_has_those_of_the_source(tmp_path, name, encoder):
    where = ["-chroma_sample_location", "topleft"]
    path = make_video(tmp_path / name, 20, 25, [*SOURCES[name], "-pix_fmt", "yuv420p10le", *TAGS, *where])
    video = probe_video(path, FPS)
    assert (video.mastering_display, video.content_light, video.chroma_location) == (DISPLAY, LIGHT, "topleft")
    clips = [tmp_path / f"{start}.mp4" for start in (0, 10)]
    for clip, start in zip(clips, (0, 10), strict=True):
        with VideoClipWriter(clip, video, 10, EncodeSettings(encoder=encoder, preset="ultrafast")) as writer:
            for frame in read_range(video, start, start + 10):
                writer.write(frame)
    join_clips(clips, [10, 10], FPS, tmp_path / "joined.mp4")
    sound = probe_audio(make_sound(tmp_path / "a.wav", 38_400))
    out = mux(tmp_path / "joined.mp4", sound, plan_timeline(video, sound), tmp_path / "out.mp4")
    assert metadata_of_each_key_frame(out) == metadata_of_each_key_frame(path)
    assert probe_video(out, FPS).chroma_location == "topleft"
