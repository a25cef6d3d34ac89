"""A small Hugging Face hub on the loopback, which can break off in the middle of a file."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    def __init__(self, files: dict[str, bytes]):
        self.files = files  # "owner/repository/file" -> content
        self.break_after_bytes: int | None = None
        self.sent_bytes = 0
        self.failing = False
        self.wrong_digest = False
        self.storage = False  # large files lie elsewhere: answer with a redirect, as the real hub does
        self.url = ""

    @contextmanager
    def running(self) -> Iterator["Hub"]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _handler(hub) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(with_body=False)

            def do_GET(self) -> None:
                self._answer(with_body=True)

            def _answer(self, with_body: bool) -> None:
                name = self.path.removeprefix("/storage").strip("/").replace("/resolve/main", "")
                content = hub.files.get(name)
                if hub.failing:
                    self.send_response(500)
                    self.end_headers()
                    return
                if content is None:
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound")
                    self.end_headers()
                    return
                digest = hashlib.sha256(b"" if hub.wrong_digest else content).hexdigest()
                if hub.storage and not self.path.startswith("/storage"):
                    self.send_response(302)
                    self.send_header("Location", f"{hub.url}/storage{self.path}")
                    self.send_header("X-Linked-Etag", f'"{digest}"')
                    self.send_header("X-Linked-Size", str(len(content)))
                    self.end_headers()
                    return
                start = 0
                if asked := self.headers.get("Range"):
                    start = int(asked.removeprefix("bytes=").split("-")[0])
                self.send_response(206 if asked else 200)
                if asked:
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                self.send_header("Content-Length", str(len(content) - start))
                self.send_header("ETag", f'"{digest}"')
                self.send_header("X-Repo-Commit", "0" * 40)
                self.end_headers()
                if with_body:
                    self._send(content[start:])

            def _send(self, body: bytes) -> None:
                if hub.break_after_bytes is not None:
                    body = body[: hub.break_after_bytes]
                self.wfile.write(body)
                hub.sent_bytes += len(body)
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        return Handler
