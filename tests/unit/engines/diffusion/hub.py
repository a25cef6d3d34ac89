"""A small Hugging Face hub on the loopback, which can break off or wait in the middle of a file."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.serving import answering

REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """``files`` maps "owner/repository/file" to the content at ``REVISION``, the only revision."""

    def __init__(self, files: dict[str, bytes]):
        self.files = files
        self.url = ""
        self.sent_bytes = 0
        self.asked: list[tuple[str, str | None]] = []  # URL or path, and authorization, of every request
        self.break_after_bytes: int | None = None
        self.wait_after_bytes: int | None = None
        self.waiting, self.go_on = threading.Event(), threading.Event()
        self.failing = False
        self.spoiled = False  # what is sent is not what is listed
        self.storage = False  # large files lie elsewhere: answer with a redirect, as the real hub does
        self.token: str | None = None  # who does not show it, sees nothing

    @contextmanager
    def running(self) -> Iterator["Hub"]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{server.server_port}"
        with answering(server):
            try:
                yield self
            finally:
                self.go_on.set()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(with_body=False)

            def do_GET(self) -> None:
                self._answer(with_body=True)

            def _answer(self, with_body: bool) -> None:
                authorization = self.headers.get("Authorization")
                hub.asked.append((self.path, authorization))
                path = urlsplit(self.path).path  # a proxy is asked with a whole URL
                name = path.removeprefix("/storage").strip("/").replace(f"/resolve/{REVISION}", "")
                content = hub.files.get(name)
                if hub.failing:
                    self._head(500)
                elif hub.token and authorization != f"Bearer {hub.token}":
                    self._head(401, {"X-Error-Code": "RepoNotFound"})
                elif content is None:
                    self._head(404, {"X-Error-Code": "EntryNotFound"})
                elif hub.storage and not path.startswith("/storage"):
                    linked = {"X-Linked-Etag": f'"{_sha256(content)}"', "X-Linked-Size": str(len(content))}
                    self._head(302, {"Location": f"{hub.url}/storage{path}", "X-Repo-Commit": REVISION, **linked})
                else:
                    self._file(content, with_body)

            def _file(self, content: bytes, with_body: bool) -> None:
                asked = self.headers.get("Range")
                start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
                headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if asked else {}
                headers |= {"ETag": f'"{_sha256(content)}"', "X-Repo-Commit": REVISION}
                self._head(206 if asked else 200, {"Content-Length": str(len(content) - start), **headers})
                if with_body:
                    self._send(content[start:])

            def _send(self, body: bytes) -> None:
                self.close_connection = True
                if hub.spoiled:
                    body = bytes(len(body))
                if hub.wait_after_bytes is not None and len(body) > hub.wait_after_bytes:
                    self.wfile.write(body[: hub.wait_after_bytes])
                    hub.waiting.set()
                    hub.go_on.wait()
                    return
                body = body[: hub.break_after_bytes]
                self.wfile.write(body)
                hub.sent_bytes += len(body)

            def _head(self, status: int, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
