"""Files from URLs, on a real HTTP server of this machine: bounded, resumed, and from public addresses only."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import httpcore
import pytest

from latentsync.errors import InputError, TransientError
from latentsync.storage import download as downloads
from latentsync.storage import fs, web
from latentsync.storage.download import download, file_name
from latentsync.storage.fs import UrlLimits
from latentsync.storage.web import PatientStream
from tests.serving import answering

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 8192  # 2 MiB
HERE = UrlLimits(allow_private=True)


class Server(ThreadingHTTPServer):
    """Serves CONTENT at every path; how, is for the test to say."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[dict[str, str]] = []  # headers of each request
        self.content = CONTENT
        self.status = 200
        self.etag = '"one"'
        self.location = ""
        self.tells_size = True
        self.breaks_at = 0  # bytes of the body after which the connection ends, once
        self.stop = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    @property
    def serving(self) -> Server:
        assert isinstance(self.server, Server)
        return self.server

    def do_GET(self) -> None:
        told = self.serving
        told.asked.append({**self.headers, "path": self.path})
        if self.path == "/trickle":
            return self._trickle()
        start = self._start()
        status = (302 if told.location else told.status) if not start else 206
        self.send_response(status)
        if told.location:
            self.send_header("Location", told.location)
        self.send_header("ETag", told.etag)
        body = told.content[start:] if status in (200, 206) else b""
        if told.tells_size:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if told.breaks_at and len(told.asked) > 1:
            body, told.breaks_at = body[: told.breaks_at], 0
        self._send(body)
        return None

    def _start(self) -> int:
        wanted = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
        return int(wanted) if self.headers.get("If-Range") == self.serving.etag else 0

    def _trickle(self) -> None:
        """Send headers without end, a byte at a time."""
        while not self.serving.stop.is_set():
            self._send(b"H")

    def _send(self, body: bytes) -> None:
        try:
            self.wfile.write(body)
        except OSError:  # the client has heard enough
            self.serving.stop.set()

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    serving = Server()
    with answering(serving):
        yield serving
        serving.stop.set()


def test_a_file_comes_whole_and_is_its_owners(server: Server, tmp_path: Path) -> None:
    path = download(f"{server.url}/a.mp4", tmp_path / "a.mp4", HERE)
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("changes", [False, True])
def test_a_broken_download_goes_on_unless_the_file_has_changed(changes: bool, server: Server, tmp_path: Path) -> None:
    server.breaks_at = len(CONTENT) // 2
    with pytest.raises(TransientError, match=r"/a\.mp4"):
        download(f"{server.url}/a.mp4", tmp_path / "a.mp4", HERE)
    if changes:
        server.etag, server.content = '"two"', CONTENT[::-1]
    path = download(f"{server.url}/a.mp4", tmp_path / "a.mp4", HERE)
    assert path.read_bytes() == server.content
    resumed = [asked for asked in server.asked if "Range" in asked]
    assert [asked["If-Range"] for asked in resumed] == ([] if changes else ['"one"'])


def test_another_file_that_comes_instead_of_the_rest_replaces_the_half(server: Server, tmp_path: Path) -> None:
    url, path = f"{server.url}/a.mp4", tmp_path / "a.mp4"
    state = fs.mark(url, HERE)
    server.breaks_at = len(CONTENT) // 2
    with pytest.raises(TransientError):
        download(url, path, HERE, state)
    server.etag, server.content = '"two"', CONTENT[::-1]
    assert download(url, path, HERE, state).read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("tells_size", [True, False])
def test_a_file_larger_than_allowed_is_refused(tells_size: bool, server: Server, tmp_path: Path) -> None:
    server.tells_size = tells_size
    limits = HERE.model_copy(update={"max_bytes": len(CONTENT) // 2})
    with pytest.raises(InputError, match=r"larger than the .* GiB that run\.max_input_gib allows; raise it"):
        download(f"{server.url}/a.mp4", tmp_path / "a.mp4", limits)
    assert not (tmp_path / "a.mp4").exists()
    if tells_size:
        assert all(path.stat().st_size == 0 for path in tmp_path.iterdir())  # not a byte of it was stored


def test_a_file_without_room_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "SPARE_BYTES", 2**60)
    with pytest.raises(InputError, match=r"no space for it in .*: free .* GiB or set run\.work_dir"):
        download(f"{server.url}/a.mp4", tmp_path / "a.mp4", HERE)


def test_a_server_that_sends_byte_by_byte_is_left(server: Server, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(web, "SLOW_SECONDS", 0.01)
    monkeypatch.setattr(web, "SLOW_BYTES", 2**60)
    with pytest.raises(TransientError, match=r"/trickle: \d+ bytes in 0 s: too slow"):
        download(f"{server.url}/trickle", tmp_path / "a.mp4", HERE)


class _Slow(httpcore.NetworkStream):
    """Sends one byte a second."""

    seconds = 0.0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.seconds += 1
        return b"x"


def test_a_byte_a_second_is_too_slow_and_a_megabyte_is_not() -> None:
    slow = _Slow()
    stream = PatientStream(slow, clock=lambda: slow.seconds)
    with pytest.raises(httpcore.ReadTimeout, match="61 bytes in 61 s"):
        list(iter(lambda: stream.read(1), b""))
    fast = PatientStream(slow, clock=lambda: slow.seconds)
    slow.read = lambda max_bytes, timeout=None: b"x" * web.SLOW_BYTES  # type: ignore[method-assign]
    assert all(fast.read(1) for _ in range(1000))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "0.0.0.0"])
def test_a_private_address_is_not_asked(host: str, server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"private network: not asked; set run\.allow_private_urls"):
        download(f"http://{host}:{server.server_port}/a.mp4", tmp_path / "a.mp4")
    assert server.asked == []


def test_a_name_that_leads_to_this_machine_is_not_asked(server: Server, monkeypatch) -> None:
    asked = []

    def resolve(host: str, port: int, *_: object, **__: object) -> list:
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.1" if host == "rebound.example" else "203.0.113.1", port))]

    monkeypatch.setattr(web.socket, "getaddrinfo", resolve)
    with pytest.raises(InputError, match=r"rebound\.example \(127\.0\.0\.1\)"):
        fs.mark(f"http://rebound.example:{server.server_port}/a.mp4")
    assert asked == ["rebound.example"]  # once: what was checked is what is connected to


def test_a_redirect_to_a_private_address_is_not_followed(server: Server, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(web, "_is_public", lambda address: address == "127.0.0.1")  # ours stands for a public one
    server.location = "http://169.254.169.254/latest/meta-data"
    with pytest.raises(InputError, match=r"169\.254\.169\.254.*not asked"):
        download(f"{server.url}/a.mp4", tmp_path / "a.mp4")


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://host/x", "local:///etc/passwd"])
def test_a_redirect_to_another_kind_of_url_is_not_followed(location: str, server: Server, tmp_path: Path) -> None:
    server.location = location
    with pytest.raises(InputError, match=r"/a\.mp4: .*"):
        download(f"{server.url}/a.mp4", tmp_path / "a.mp4", HERE)
    assert list(tmp_path.iterdir()) == []


def test_a_circle_of_redirects_ends(server: Server, tmp_path: Path) -> None:
    server.location = f"{server.url}/again"
    with pytest.raises(InputError, match="redirects"):
        download(f"{server.url}/a.mp4", tmp_path / "a.mp4", HERE)


@pytest.mark.parametrize(
    ("status", "kind"), [(403, InputError), (401, InputError), (500, TransientError), (429, TransientError)]
)
def test_errors_are_sorted_and_hold_no_secret(status: int, kind: type, server: Server, tmp_path: Path) -> None:
    server.status = status
    url = f"http://user:hunter2@127.0.0.1:{server.server_port}/a.mp4?X-Amz-Signature=hunter2"
    with pytest.raises(kind, match=rf"http://127\.0\.0\.1:\d+/a\.mp4\?\.\.\.: the server says {status}") as raised:
        download(url, tmp_path / "a.mp4", HERE)
    assert "hunter2" not in str(raised.value)
    assert raised.value.__suppress_context__  # nor does a traceback tell the driver's own message


def test_what_is_not_there_is_the_users_error(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(InputError, match=r"/a\.mp4: no such file; check the address"):
        download(f"{server.url}/a.mp4", tmp_path / "a.mp4", HERE)


def test_nobody_there_may_pass(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match=r"a\.mp4: .*refused"):
        download("http://127.0.0.1:1/a.mp4", tmp_path / "a.mp4", HERE)


def test_an_object_store_is_read_in_parts_and_resumed(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/a.mp4", CONTENT)
    try:
        path = download("memory://bucket/a.mp4", tmp_path / "a.mp4")
    finally:
        memory.rm("/bucket", recursive=True)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://b/in/talk.mp4", "talk.mp4"),
        ("https://h/talk.mp4?X-Amz-Signature=s", "talk.mp4"),
        ("https://h/%00.mp4", "_.mp4"),
        ("https://h/%2e%2e", "_"),
        ("https://h/..", "_"),
        ("https://h/", "input"),
        ("https://h/a%2Fb.mp4", "b.mp4"),
        ("https://h/-rf.mp4", "_rf.mp4"),
        ("https://h/" + "x" * 300 + ".mp4", "x" * 56 + ".mp4"),
    ],
)
def test_a_copy_has_a_plain_name(url: str, name: str) -> None:
    assert file_name(url) == name
