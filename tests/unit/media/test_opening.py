"""Files that pose as media but name other files: nothing but the named file is ever read."""

import os
import re
from collections.abc import Callable
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import av
import pytest

from latentsync.errors import InputError
from latentsync.media.conform import prepare_video
from latentsync.media.ffmpeg import QUIET, run
from latentsync.media.opening import media_input, open_media
from latentsync.media.probe import probe_audio, probe_video
from tests.nested import with_gab2, with_linked_segments
from tests.serving import answering
from tests.synthetic import ffmpeg

FPS = Fraction(25)


def hls(*names: str) -> str:
    entries = "".join(f"#EXTINF:4,\n{name}\n" for name in names)
    return f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:0\n{entries}#EXT-X-ENDLIST\n"


def dash(name: str) -> str:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT4S" minBufferTime="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1" width="320" height="240">'
        f"<BaseURL>{name}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )


# What the posing file says, given the path of a file that it must not reach.
SCRIPTS: dict[str, Callable[[Path], str]] = {
    "HLS, relative": lambda secret: hls(secret.name),
    "HLS, from the folder above": lambda secret: hls(f"../{secret.parent.name}/{secret.name}"),
    "HLS, absolute": lambda secret: hls(str(secret)),
    "HLS, a file: address": lambda secret: hls(f"file://{secret}"),
    "HLS, a master": lambda secret: f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{secret.with_name('list.m3u8').name}\n",
    "HLS, live": lambda secret: hls(secret.name).replace("#EXT-X-ENDLIST\n", ""),
    "HLS, 20,000 entries": lambda secret: hls(*[secret.name] * 20_000),
    "HLS, a pipe": lambda secret: hls(secret.with_name("pipe").name),
    "DASH": lambda secret: dash(secret.name),
    "ffconcat": lambda secret: f"ffconcat version 1.0\nfile {secret.name}\n",
    "ffconcat, absolute": lambda secret: f"ffconcat version 1.0\nfile '{secret}'\n",
    "ffconcat, 20,000 entries": lambda secret: "ffconcat version 1.0\n" + f"file {secret.name}\n" * 20_000,
    "SDP": lambda secret: "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
}


@pytest.fixture(params=SCRIPTS)
def posing(request: pytest.FixtureRequest, numbered: Path, tmp_path: Path) -> Path:
    secret = tmp_path / "secret.ts"
    ffmpeg("-i", numbered, "-c", "copy", secret)
    (tmp_path / "list.m3u8").write_text(hls(secret.name))
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / "upload.mp4"
    path.write_text(SCRIPTS[request.param](secret))
    return path


def test_probing_refuses_it(posing):
    refused = "upload.mp4.* names other files"
    with pytest.raises(InputError, match=refused):
        probe_video(posing, FPS)
    with pytest.raises(InputError, match=refused):
        probe_audio(posing)
    with pytest.raises(InputError, match=refused):
        prepare_video(posing, FPS, posing.parent / "work")
    assert not (posing.parent / "work").exists()


def test_no_other_reader_follows_it(posing):
    with pytest.raises(av.FFmpegError):
        open_media(posing)
    with pytest.raises(InputError, match="not on whitelist"):
        run(media_input(posing).output("-", format="null").global_args(*QUIET).compile(), posing)


class _Asked(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked = True  # pyright: ignore[reportAttributeAccessIssue]


NESTED = {
    "GAB2 with HLS": (".avi", lambda avi, out, name: with_gab2(avi, out, hls(name).encode())),
    "GAB2 with ffconcat": (
        ".avi",
        lambda avi, out, name: with_gab2(avi, out, f"ffconcat version 1.0\nfile {name}".encode()),
    ),
    "GAB2 with subtitles": (
        ".avi",
        lambda avi, out, name: with_gab2(avi, out, b"1\n00:00:00,000 --> 00:00:04,000\nhi\n"),
    ),
    "linked segments": (".mkv", with_linked_segments),
}


@pytest.mark.slow
@pytest.mark.parametrize("nested", NESTED)
@pytest.mark.parametrize("where", ["beside", "by HTTP"])
def test_what_a_container_holds_or_names_leads_nowhere(numbered, tmp_path, nested, where):
    suffix, make = NESTED[nested]
    plain = tmp_path / f"plain{suffix}"
    ffmpeg("-i", numbered, "-c:v", "mpeg4", "-c:a", "pcm_s16le", plain)
    ffmpeg("-i", numbered, "-t", "2", "-c", "copy", tmp_path / "secret.ts")
    with HTTPServer(("127.0.0.1", 0), _Asked) as server, answering(server):
        server.asked = False  # pyright: ignore[reportAttributeAccessIssue]
        name = "secret.ts" if where == "beside" else f"http://127.0.0.1:{server.server_port}/secret.ts"
        path = make(plain, tmp_path / f"upload{suffix}", name)
        assert probe_video(path, FPS).frames == probe_video(plain, FPS).frames == 100
        assert probe_audio(path).samples == probe_audio(plain).samples
        with open_media(path) as container:
            assert sum(1 for _ in container.decode(video=0)) == 100
    assert not server.asked  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", ["concat:secret.mp4", "50%d.mp4", "-i.mp4", "a\nb'\".mp4", "x" * 251 + ".mp4"])
def test_a_name_is_nothing_but_a_name(numbered, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(numbered.read_bytes())
    (tmp_path / "secret.mp4").write_bytes(b"")
    video = probe_video(Path(name), FPS)
    assert (video.frames, video.file.path) == (100, tmp_path / name)
    assert probe_audio(Path(name)).samples == 192_512  # 4 s and the rest of an AAC frame


def test_there_is_no_other_way_in():
    root = Path(__file__).parents[3]
    sources = [path for room in ("latentsync", "tasks", "flows") for path in (root / room).rglob("*.py")]
    opens = re.compile(
        r'av\.open\((?!.*"w"\))|ffmpeg\.input\((?!")|"ffprobe", "-'
    )  # neither to write nor of our own making
    assert [path.name for path in sources if opens.search(path.read_text())] == ["opening.py"]
