"""Bringing a remote file here: bounded, resumed where it broke off, whole or not at all."""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from latentsync.errors import InputError, TransientError, UnusableFile
from latentsync.records import Artefact
from latentsync.storage import fs, locks, web
from latentsync.storage.atomic import WORK, explained, private_folder, take_place
from latentsync.storage.fs import UrlLimits
from latentsync.storage.locations import is_url, normalised, shown
from latentsync.storage.workspace import Workspace

GIB = 1024**3
SPARE_BYTES = GIB // 2  # that a download leaves free on the disk
NAME_CHARACTERS = 60  # of a URL's file name, from its end: the suffix counts


def file_name(url: str) -> str:
    """A plain name for a local copy of ``url``, which ends as the URL's own does."""
    name = unquote(urlsplit(url).path).rsplit("/", 1)[-1]
    return re.sub(r"[^\w.-]|^[.-]+", "_", name)[-NAME_CHARACTERS:].lstrip(".-") or "input"


def download(url: str, path: Path, limits: UrlLimits = UrlLimits(), state: dict[str, str] | None = None) -> Path:
    """Copy ``url`` to ``path``, going on where an earlier try broke off; the caller holds a lock on ``path``.

    ``state`` is ``fs.mark(url)``, where the caller knows it. Raises InputError (no such file, not allowed, too
    large, no space), TransientError (the network fails or is too slow, the file changes on the way).
    """
    state = fs.mark(url, limits) if state is None else state
    if not state:
        raise UnusableFile(f"{shown(url)}: no such file; check the address")
    size = int(state["size"]) if "size" in state else None
    key = hashlib.sha256(repr((url, sorted(state.items()))).encode()).hexdigest()[:8]
    part = path.with_name(f".{path.name}.{key}.part{path.suffix}")  # a name that a sweep knows
    with explained(path):
        with os.fdopen(os.open(part, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, WORK), "r+b") as file:
            got = _receive(url, file, path, state, limits)
        if size is not None and got != size:
            raise TransientError(f"{shown(url)}: broke off after {got} of {size} bytes; run again to go on")
        take_place(part, path)
    return path


def local_file(location: str, workspace: Workspace, limits: UrlLimits) -> Path:
    """The file at a path, or a copy of the one at a URL: a new place for each state that the URL can tell."""
    location = normalised(location)
    if not is_url(location):
        return Path(location)
    state = fs.mark(location, limits)
    key = hashlib.sha256(f"{location} {state}".encode()).hexdigest()[:16]
    path = workspace.root / "inputs" / key / file_name(location)
    private_folder(path.parent)
    with workspace.once(path) as is_here:
        return path if is_here and set(state) - {"size"} else download(location, path, limits, state)


def fetch(artefact: Artefact) -> None:
    """Bring the file of ``artefact`` from its remote copy, where this machine lacks it, and verify it.

    Raises ``InputError`` when there is none, ``TransientError`` when the network fails or the copy is damaged.
    """
    path = artefact.path
    if not artefact.url or path.is_file():
        return
    private_folder(path.parent)
    with locks.hold(path.with_name(f".{path.name}.fetch.lock")):
        if path.is_file():
            return
        download(artefact.url, path, UrlLimits(max_bytes=artefact.size_bytes, allow_private=True))
        if Artefact.of(path, artefact.url) != artefact:
            path.unlink()
            raise TransientError(f"{shown(artefact.url)}: does not hold what was written (sha256 differs); run again")


def _receive(url: str, file: BinaryIO, path: Path, state: dict[str, str], limits: UrlLimits) -> int:
    """Append what is missing; returns how many bytes there are then."""
    if set(state) - {"size"}:  # it is still the same file, as far as anybody can tell
        file.seek(0, os.SEEK_END)
    _check_space(url, path, file.tell(), int(state.get("size", 0)), limits)
    for piece in _pieces(url, file, state, limits):
        file.write(piece)
        _check_space(url, path, file.tell(), 0, limits)
    file.truncate()
    return file.tell()


def _pieces(url: str, file: BinaryIO, state: dict[str, str], limits: UrlLimits) -> Iterator[bytes]:
    if not fs.is_web(url):
        yield from _steadily(url, fs.read(url, file.tell(), limits.max_bytes + 1, limits))
        if fs.mark(url, limits) != state:
            raise TransientError(f"{shown(url)}: changed while it was read; run again when it is complete")
        return
    unchanged = state.get("ETag") or state.get("Last-Modified") or ""
    start = file.tell() if str(file.tell()) != state.get("size") else 0
    with fs.errors_of(url), web.get(url, start, unchanged, limits.allow_private) as answer:
        file.seek(start if answer.status_code == 206 else 0)
        yield from answer.iter_bytes(fs.MIB)


def _steadily(url: str, pieces: Iterator[bytes], clock: Callable[[], float] = time.monotonic) -> Iterator[bytes]:
    """``pieces``, each of which must not take so long as to be slower than web.SLOW_BYTES in web.SLOW_SECONDS."""
    began = clock()
    for piece in pieces:
        if clock() - began > web.SLOW_SECONDS and len(piece) < web.SLOW_BYTES:
            raise TransientError(f"{shown(url)}: {len(piece)} bytes in {clock() - began:.0f} s: too slow; run again")
        yield piece
        began = clock()


def _check_space(url: str, path: Path, received: int, size: int, limits: UrlLimits) -> None:
    """Refuse what is too large for the limit or the disk, before it comes and while it does."""
    if max(size, received) > limits.max_bytes:
        raise InputError(
            f"{shown(url)}: larger than the {limits.max_bytes / GIB:.3g} GiB that run.max_input_gib allows; raise it"
        )
    free = shutil.disk_usage(path.parent).free
    missing = max(size - received, 0) + SPARE_BYTES - free
    if missing > 0:
        raise InputError(
            f"{shown(url)}: no space for it in {path.parent}: free {missing / GIB:.1f} GiB or set run.work_dir"
        )
