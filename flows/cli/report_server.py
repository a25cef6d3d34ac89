"""The web application of `lipsync serve`: read-only, with byte ranges, and nothing beyond its folder."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from latentsync.review.files import PAGE
from latentsync.review.html import page

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def report_app(folder: Path, host: str) -> Starlette:
    """Files in ``folder`` by GET and HEAD; hidden ones, folders and links that lead out are not found.

    At a loopback ``host`` it answers to loopback's names only, so that no web page can reach it by a name of
    its own.
    """

    def index(_request: Request) -> Response:
        if (folder / PAGE).is_file():
            return RedirectResponse(PAGE)
        pages = (path for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{PAGE}"))
        found = sorted(path.relative_to(folder) for path in pages)
        links = [(path.parts[0], path.as_posix()) for path in found]
        return HTMLResponse(page("index.html", folder=folder.name, links=links))

    names = list(LOOPBACK) if host in LOOPBACK else ["*"]
    files = _Files(directory=folder)
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=names)
    return Starlette(routes=[Route("/", index), Mount("/", files)], middleware=[guard])


class _Files(StaticFiles):
    """Without hidden files: locks and unfinished copies."""

    def lookup_path(self, path: str):
        """See StaticFiles."""
        if Path(path).name.startswith("."):
            return "", None
        return super().lookup_path(path)
