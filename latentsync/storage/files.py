"""What lies at a path or fsspec URL: its text, the files there, and a mark that changes with the content."""

import contextlib
import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latentsync.errors import InputError, LipsyncError
from latentsync.storage.atomic import explained, write_whole

# What file systems call size, time of modification and content tag; those that are there are compared.
_MARKS = ("size", "mtime", "ETag", "etag", "md5Hash", "crc32c", "LastModified", "last_modified", "updated")


def read_text(location: str) -> str:
    """The UTF-8 text at ``location``. Raises ``InputError`` when it cannot be read."""
    with _opened(location) as (file_system, path):
        try:
            return file_system.cat_file(path).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{location}: not UTF-8 text ({error}); save it as UTF-8") from error


def write_text(text: str, location: str) -> None:
    """Write a small file at ``location``, whole or not at all where the file system can."""
    if "://" not in location or location.startswith("file://"):
        path = Path(location.removeprefix("file://"))
        with explained(path):
            write_whole(path, text.encode())
        return
    with _opened(location) as (file_system, path):
        file_system.makedirs(file_system._parent(path), exist_ok=True)
        with file_system.transaction, file_system.open(path, "wb") as file:
            file.write(text.encode())


def list_files(location: str) -> list[str]:
    """Files of the folder, or that match the glob, at ``location``; sorted.

    Raises ``InputError`` when there is no such folder; a glob may match nothing.
    """
    with _opened(location) as (file_system, path):
        if glob.has_magic(location):
            found = file_system.glob(path, detail=True)
        elif file_system.isdir(path):
            found = {item["name"]: item for item in file_system.ls(path, detail=True)}
        else:
            raise FileNotFoundError(f"no such folder: {location}")
        names = [name for name, item in found.items() if item["type"] == "file"]
        return sorted(file_system.unstrip_protocol(name) if "://" in location else name for name in names)


def mark(location: str) -> dict[str, str]:
    """Size, time and tag of the file at ``location``; empty when there is none.

    Equal marks mean the same content, as far as the file system can tell without reading it.
    """
    with contextlib.suppress(FileNotFoundError), _opened(location, explain_missing=False) as (file_system, path):
        info = file_system.info(path)
        return {name: str(info[name]) for name in _MARKS if info.get(name) is not None}
    return {}


@contextlib.contextmanager
def _opened(location: str, explain_missing: bool = True) -> Iterator[tuple[Any, str]]:
    import fsspec  # slow to import

    try:
        yield fsspec.core.url_to_fs(location, use_listings_cache=False, skip_instance_cache=True)
    except FileNotFoundError as error:
        if not explain_missing:
            raise
        raise InputError(f"{location}: no such file or folder; check the address") from error
    except (ImportError, ValueError) as error:
        raise InputError(f"{location}: {error}; install the package for this kind of URL") from error
    except LipsyncError:
        raise
    except Exception as error:  # each file system has errors of its own
        raise InputError(f"{location}: {error}; check the address, your rights and the network") from error
