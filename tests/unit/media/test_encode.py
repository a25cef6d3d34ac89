import os
import resource
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from latentsync.errors import InternalError, TransientError
from latentsync.media.decode import read_range
from latentsync.media.encode import ClipWriter, FaceClipWriter, VideoClipWriter, encoder_works, read_faces
from latentsync.media.pixels import layout_of
from latentsync.media.probe import probe_video
from latentsync.settings import EncodeSettings
from tests.processes import ffmpeg_children
from tests.synthetic import make_video

FPS = Fraction(25)
FAST = EncodeSettings(preset="ultrafast")
HDR = ["-color_range", "tv", "-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", "smpte2084"]


def faces(count: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("pix_fmt", "tags"), [("yuv420p", []), ("yuv422p10le", []), ("yuv420p", ["-color_range", "pc"])]
)
def test_decoded_planes_reach_the_encoder_unchanged(tmp_path, pix_fmt, tags):
    """Promise 4, before the encoder: source -> Frame -> pipe -> a lossless encoder -> Frame."""
    path = make_video(tmp_path / "source.mp4", 10, 25, ["-c:v", "libx264", "-pix_fmt", pix_fmt, *tags])
    video = probe_video(path, FPS)
    raw = {"pix_fmt": video.pix_fmt, "s": "320x240", "framerate": "25"}
    with ClipWriter(tmp_path / "copy.mkv", 10, layout_of(video).frame_bytes, raw, {"c:v": "ffv1"}) as clip:
        for frame in read_range(video, 0, 10):
            clip.write_planes(frame.planes())
    copy = probe_video(tmp_path / "copy.mkv", FPS)
    for before, after in zip(read_range(video, 0, 10), read_range(copy, 0, 10), strict=True):
        for one, other in zip(before.planes(), after.planes(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pix_fmt", "options"),
    [
        ("yuv420p", ["-vf", "setsar=4/3", "-colorspace", "bt709", "-color_trc", "gamma28"]),
        ("yuv420p", ["-color_range", "pc"]),
        ("yuv420p10le", HDR),
        ("yuv444p", []),
    ],
)
def test_the_lossy_encode_keeps_format_and_tags(tmp_path, pix_fmt, options):
    source = make_video(tmp_path / "source.mp4", 5, 25, ["-c:v", "libx264", "-pix_fmt", pix_fmt, *options])
    video = probe_video(source, Fraction(30000, 1001))
    with VideoClipWriter(tmp_path / "clip.mp4", video, video.frames, FAST) as clip:
        for frame in read_range(video, 0, video.frames):
            clip.write(frame)
    written = probe_video(tmp_path / "clip.mp4", None)
    changed = {"file": written.file, "source_fps": written.source_fps, "container": written.container}
    assert written == video.model_copy(update=changed)


@pytest.mark.slow
def test_twelve_bits_are_encoded_as_hevc(tmp_path):
    video = probe_video(make_video(tmp_path / "a.mkv", 3, 25, ["-c:v", "ffv1", "-pix_fmt", "yuv420p12le"]), FPS)
    with VideoClipWriter(tmp_path / "clip.mp4", video, 3, FAST) as clip:
        for frame in read_range(video, 0, 3):
            clip.write(frame)
    written = probe_video(tmp_path / "clip.mp4", None)
    assert (written.codec, written.pix_fmt, written.frames) == ("hevc", "yuv420p12le", 3)


@pytest.mark.slow
def test_clips_of_the_same_settings_have_the_same_headers(numbered, tmp_path):
    video = probe_video(numbered, FPS)
    headers = set()
    for start, stop in ((0, 3), (3, 90)):
        path = tmp_path / f"{start}.mp4"
        with VideoClipWriter(path, video, stop - start, FAST, threads=1 + start) as clip:
            for frame in read_range(video, start, stop):
                clip.write(frame)
        with av.open(str(path)) as container:
            headers.add(container.streams.video[0].codec_context.extradata)
    assert len(headers) == 1


def write_faces(out: Path, frames: int, images: Iterable[np.ndarray]) -> None:
    with FaceClipWriter(out, 64, frames) as clip:
        for image in images:
            clip.write(image)


def test_faces_come_back_bit_for_bit(tmp_path):
    written, path = faces(70), tmp_path / "faces.mkv"
    write_faces(path, 70, written)
    for start, stop in ((0, 70), (26, 51), (69, 70)):
        np.testing.assert_array_equal(np.stack(list(read_faces(path, start, stop))), written[start:stop])


def test_too_few_frames_leave_nothing(tmp_path):
    with pytest.raises(InternalError, match="3 frames asked, 2 written"):
        write_faces(tmp_path / "f.mkv", 3, faces(2))
    assert not list(tmp_path.iterdir())


def test_a_failure_while_writing_keeps_the_old_file(tmp_path):
    out = tmp_path / "f.mkv"
    out.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_faces(out, 3, (face // int(1 / (1 - n)) for n, face in enumerate(faces(3))))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    assert not ffmpeg_children()


def test_a_frame_of_another_size_is_our_mistake(tmp_path):
    with pytest.raises(InternalError, match="12288 expected"):
        write_faces(tmp_path / "f.mkv", 1, faces(1, side=32))


def test_an_encoder_that_is_stopped_is_worth_a_retry(tmp_path):
    """A limit on its file size stands in for a disk that fills up."""

    def limited() -> Iterator[np.ndarray]:
        images = iter(faces(2000))
        while not (encoders := ffmpeg_children()):  # its starter has not become it yet
            yield next(images)
        resource.prlimit(encoders[0].pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
        yield from images

    with pytest.raises(TransientError, match="killed by signal"):
        write_faces(tmp_path / "f.mkv", 2000, limited())
    assert not list(tmp_path.iterdir())


def test_an_encoder_is_believed_when_it_encodes():
    assert encoder_works("libx264")
    assert not encoder_works("no_such_encoder")


def test_a_killed_trial_says_nothing_of_the_encoder(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(TransientError, match="killed by signal 9"):
        encoder_works("libx264")
