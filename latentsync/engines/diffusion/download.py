"""Fetch the published weights from the Hugging Face hub, resuming what was cut off.

(The hub's own client starts a file again after every interruption; the UNet has 5 GB.)
"""

import hashlib
import os
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

from latentsync.engines.diffusion.checkpoints import pin_resolution
from latentsync.errors import InputError, TransientError

UNET_REPOSITORIES = {"ByteDance/LatentSync-1.5": 256, "ByteDance/LatentSync-1.6": 512}  # resolution in px
VAE_REPOSITORY = "stabilityai/sd-vae-ft-mse"
UNET_REPOSITORY_FILES = ("latentsync_unet.pt", "whisper/tiny.pt")
VAE_REPOSITORY_FILES = ("config.json", "diffusion_pytorch_model.safetensors")
HUB = "https://huggingface.co"
PIECE_BYTES = 2**20
TIMEOUT_SECONDS = 30

Progress = Callable[[str, int, int], None]  # file, bytes done, bytes in all


def fetch(repository: str, folder: Path, *, endpoint: str | None = None, on_progress: Progress | None = None) -> None:
    """Download UNet and whisper of ``repository`` and the VAE into ``folder``; finished files are kept.

    ``endpoint`` is another hub, such as a mirror. Raises ``InputError`` for a repository that is not one
    of ``UNET_REPOSITORIES`` or lacks a file, ``TransientError`` when the network fails: call it again,
    and it goes on where it stopped.
    """
    if repository not in UNET_REPOSITORIES:
        raise InputError(f"{repository} is no LatentSync repository: choose {' or '.join(UNET_REPOSITORIES)}")
    report = on_progress or (lambda *_: None)
    for name in UNET_REPOSITORY_FILES:
        _fetch_file(repository, name, folder / name, endpoint, report)
    for name in VAE_REPOSITORY_FILES:
        _fetch_file(VAE_REPOSITORY, name, folder / "vae" / name, endpoint, report)
    pin_resolution(folder, UNET_REPOSITORIES[repository])


def _fetch_file(repository: str, name: str, path: Path, endpoint: str | None, report: Progress) -> None:
    url = f"{endpoint or os.environ.get('HF_ENDPOINT', HUB)}/{repository}/resolve/main/{name}"
    try:
        size, etag = _size_and_etag(url)
        if not (path.is_file() and path.stat().st_size == size):
            _download(url, name, path, size, etag, report)
    except HTTPError as error:
        if error.code in (401, 403, 404):  # the hub answers 401 for a repository that does not exist
            raise InputError(f"cannot fetch {url}: it is not there or not public ({error})") from error
        raise TransientError(f"cannot fetch {url} ({error}); repeat to go on where it stopped") from error
    except (HTTPException, OSError) as error:
        raise TransientError(f"cannot fetch {url} ({error}); repeat to go on where it stopped") from error


class _StopAtStorage(HTTPRedirectHandler):
    """Follows the hub's own redirects, but not the one to its storage: that answer has the digest."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        return None if "X-Linked-Etag" in headers else Request(newurl, method="HEAD")

    def http_error_302(self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage) -> Any:
        return super().http_error_302(req, fp, code, msg, headers) or fp

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _size_and_etag(url: str) -> tuple[int, str]:
    """Size in bytes and digest of a file on the hub."""
    opener = build_opener(_StopAtStorage)
    request = Request(url, method="HEAD")
    with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
        size = response.headers.get("X-Linked-Size") or response.headers.get("Content-Length")
        etag = response.headers.get("X-Linked-Etag") or response.headers.get("ETag")
    if size is None or etag is None:
        raise InputError(f"{url} tells neither size nor digest: this is no Hugging Face hub")
    return int(size), etag.removeprefix("W/").strip('"')


def _download(url: str, name: str, path: Path, size: int, etag: str, report: Progress) -> None:
    """Append to what an earlier try left of the same content, then check size and digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{etag[:16]}.part")
    with open(partial, "ab") as file:
        while (done := file.tell()) < size:
            report(name, done, size)
            if not _append(url, file.write, done, lambda done: report(name, done, size)):
                raise OSError(f"{done} of {size} bytes arrived")
        os.fsync(file.fileno())
    report(name, size, size)
    if not _is_whole(partial, size, etag):
        partial.unlink()
        raise OSError("what arrived is not what the hub has (size or sha256 differ)")
    os.replace(partial, path)


def _append(url: str, write: Callable[[bytes], object], done: int, report: Callable[[int], None]) -> bool:
    """Write what the server gives from byte ``done`` on; False: it gave nothing."""
    request = Request(url, headers={"Range": f"bytes={done}-"})
    with urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        if response.status != 206 and done:
            raise OSError("the server cannot resume")
        start = done
        while piece := response.read(PIECE_BYTES):
            write(piece)
            done += len(piece)
            report(done)
    return done > start


def _is_whole(path: Path, size: int, etag: str) -> bool:
    if path.stat().st_size != size:
        return False
    if len(etag) != hashlib.sha256().digest_size * 2:  # only large files are named by their sha256
        return True
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == etag
