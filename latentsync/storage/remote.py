"""Copies between local files and fsspec URLs (s3://, gs://, a mounted share, ...)."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from latentsync.errors import InputError, TransientError
from latentsync.records import Artefact
from latentsync.storage.atomic import whole_file


def is_url(location: str) -> bool:
    """Whether ``location`` is a URL other than ``file://``."""
    return "://" in location and not location.startswith("file://")


def download(url: str, path: Path) -> Path:
    """Copy ``url`` to ``path``, whole or not at all.

    Raises ``InputError`` when there is no such file, ``TransientError`` when the network fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part, _filesystem(url) as (fs, name):
        fs.get_file(name, str(part))
    return path


def fetch(artefact: Artefact) -> None:
    """Bring the file of ``artefact`` from its remote copy, where this machine lacks it, and verify it.

    Raises ``InputError`` when there is none, ``TransientError`` when the network fails or the copy is damaged.
    """
    if not artefact.url or artefact.path.is_file():
        return
    download(artefact.url, artefact.path)
    if Artefact.of(artefact.path, artefact.url) != artefact:
        artefact.path.unlink()
        raise TransientError(f"{artefact.url}: does not hold what was written (sha256 differs); run again to redo it")


def upload(path: Path, url: str) -> None:
    """Copy ``path`` to ``url``. Raises ``TransientError`` when the network fails."""
    with _filesystem(url) as (fs, name):
        fs.makedirs(fs._parent(name), exist_ok=True)
        fs.put_file(str(path), name)


@contextlib.contextmanager
def _filesystem(url: str) -> Iterator[tuple]:
    import fsspec  # slow to import, and only needed for remote files

    try:
        yield fsspec.core.url_to_fs(url)
    except FileNotFoundError as error:
        raise InputError(f"{url}: no such file; check the address") from error
    except ImportError as error:
        raise InputError(f"{url}: {error}; install the package for this kind of URL") from error
    except Exception as error:  # each file system has errors of its own
        raise TransientError(f"{url}: {error}; check the address, the credentials and the network") from error
