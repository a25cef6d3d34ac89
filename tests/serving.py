"""Servers of tests, on loopback."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def answering(server: socketserver.BaseServer) -> Iterator[None]:
    """Answer from a thread while the context lasts, then close the server."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
