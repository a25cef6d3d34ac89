"""A webhook on loopback."""

import contextlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

from tests.serving import answering


class Hook(HTTPServer):
    """A webhook that answers with ``statuses`` in turn and keeps what it was told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses: list[int] = []
        self.told: list[dict] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    @property
    def hook(self) -> Hook:
        assert isinstance(self.server, Hook)
        return self.server

    def do_POST(self) -> None:
        self.hook.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.hook.statuses.pop(0) if self.hook.statuses else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@contextlib.contextmanager
def listening_hook() -> Iterator[Hook]:
    """A hook that answers while the context lasts."""
    hook = Hook()
    with answering(hook):
        yield hook
