"""Files behind paths and URLs (s3, gs, abfs, sftp, http, ...): one way in, one policy of errors.

What the user can change (a missing file, a permission, a driver that is not installed) is InputError; whatever
else fails on the way to another machine may pass: TransientError. No message holds the secrets of a URL, and
no cause is chained to it: the drivers' own messages do.
"""

import contextlib
import glob
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from latentsync.errors import InputError, LipsyncError, TransientError, UnusableFile
from latentsync.records import Record
from latentsync.settings import RunSettings
from latentsync.storage import web
from latentsync.storage.atomic import explained, write_whole
from latentsync.storage.locations import is_url, local_path, normalised, shown
from latentsync.storage.throttle import MIB, Pacer

TEXT_MIB_MAX = 64  # of a manifest
_PART_BYTES = 16 * MIB  # of a multi-part upload: 10,000 of them make 156 GiB
# What file systems call size, time of modification and content tag; those that are there are compared.
_MARKS = ("size", "mtime", "ETag", "etag", "md5Hash", "crc32c", "LastModified", "last_modified", "updated")
_EXTRAS = ("s3", "gs", "abfs", "sftp")  # of this package, by kind of URL
_USER_ERRORS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError, ValueError)
# The drivers' own, by name, for importing them is slow: botocore's, and Google's.
_NO_CREDENTIALS = (
    "NoCredentialsError", "PartialCredentialsError", "ParamValidationError", "DefaultCredentialsError", "RefreshError",
)  # fmt: skip
_USER_STATUS = (400, 401, 403, 404)  # of HTTP: no such name, no right
_USER_CODES = ("InvalidBucketName",)  # of S3, which s3fs takes for failures that may pass

logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # what fails is raised: it would log tracebacks beside that


class UrlLimits(Record):
    """What is read from URLs: at most ``max_bytes`` of one file, from public addresses unless ``allow_private``."""

    max_bytes: int = 100 * 1024**3
    allow_private: bool = False

    @classmethod
    def of(cls, run: RunSettings) -> Self:
        """Those that the settings give."""
        return cls(max_bytes=int(run.max_input_gib * 1024**3), allow_private=run.allow_private_urls)


OWN = UrlLimits(allow_private=True)  # of outputs, workspace and inbox: who starts the job names them, no stranger


def is_web(url: str) -> bool:
    """Whether ``url`` is read by HTTP."""
    return normalised(url).startswith(("http://", "https://"))


def read_text(location: str, limits: UrlLimits = UrlLimits()) -> str:
    """The UTF-8 text at ``location``, of no more than TEXT_MIB_MAX. Raises as all of this module."""
    content = b"".join(read(location, 0, TEXT_MIB_MAX * MIB + 1, limits))
    if len(content) > TEXT_MIB_MAX * MIB:
        raise InputError(f"{shown(location)}: more than {TEXT_MIB_MAX} MiB of text; split it")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown(location)}: not UTF-8 text ({error}); save it as UTF-8") from None


def read(location: str, start: int, stop: int, limits: UrlLimits = UrlLimits()) -> Iterator[bytes]:
    """Bytes ``[start, stop)`` of the file at ``location``, or up to its end, in pieces."""
    if is_web(location):
        with errors_of(location), web.get(location, start, allow_private=limits.allow_private) as answer:
            left = stop - start
            for piece in answer.iter_bytes(MIB):
                yield piece[:left]
                if (left := left - len(piece)) <= 0:
                    return
        return
    with opened(location, limits) as (file_system, path), file_system.open(path, "rb", cache_type="none") as file:
        file.seek(start)
        while start < stop and (piece := file.read(min(_PART_BYTES, stop - start))):
            start += len(piece)
            yield piece


def write_text(text: str, location: str) -> None:
    """Write a small file at ``location``, whole or not at all where the file system can."""
    if not is_url(location):
        path = local_path(location)
        with explained(path):
            write_whole(path, text.encode())
        return
    with opened(location, OWN, alone=True) as (system, path), system.transaction, system.open(path, "wb") as file:
        file.write(text.encode())


def list_files(location: str) -> list[str]:
    """Files of the folder, or that match the glob, at ``location``; sorted.

    Raises ``InputError`` when there is no such folder; a glob may match nothing.
    """
    with opened(location, OWN) as (file_system, path):
        if glob.has_magic(path):
            found = file_system.glob(path, detail=True)
        elif file_system.isdir(path):
            found = {item["name"]: item for item in file_system.ls(path, detail=True)}
        else:
            raise FileNotFoundError("no such folder")
        names = sorted(name for name, item in found.items() if item["type"] == "file")
        if not is_url(location):
            return names
        if (there := normalised(location).rstrip("/")).endswith(path):  # over SSH, names are without their host
            return [there.removesuffix(path) + name for name in names]
        return [file_system.unstrip_protocol(name) for name in names]


def mark(location: str, limits: UrlLimits = UrlLimits()) -> dict[str, str]:
    """Size, time and tag of the file at ``location``; empty when there is none.

    Equal marks mean the same content, as far as the file system can tell without reading it.
    """
    if is_web(location):
        with errors_of(location):
            return web.mark(location, limits.allow_private)
    with opened(location, limits) as (file_system, path):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            info = file_system.info(path)
            if info["type"] != "file":
                raise UnusableFile(f"{shown(location)}: is a {info['type']}; give one file")
            return {name: str(info[name]) for name in _MARKS if info.get(name) is not None}
        return {}


def check_writable(url: str) -> None:
    """Write and remove an empty object beside ``url``. A bucket that is missing is not made."""
    with opened(url, OWN) as (file_system, path):
        with contextlib.suppress(FileNotFoundError):
            if (kind := file_system.info(path)["type"]) != "file":
                raise InputError(f"{shown(url)} is a {kind}: name a file in it, or a new name")
        file_system.pipe_file(f"{path}.part", b"")
        with contextlib.suppress(PermissionError):  # an account that may write need not be allowed to delete
            file_system.rm_file(f"{path}.part")


def upload(chunks: Iterable[memoryview], url: str, size_bytes: int, pacer: Pacer | None = None) -> None:
    """Send ``chunks`` to ``url`` in one transaction; an exception on the way discards all of it."""
    with opened(url, OWN, alone=True) as (file_system, path):
        file_system.makedirs(file_system._parent(path), exist_ok=True)
        with file_system.transaction, file_system.open(path, "wb", block_size=_PART_BYTES) as file:
            for chunk in chunks:
                if pacer:
                    pacer.before_write(len(chunk))
                file.write(bytes(chunk))
        stored = file_system.info(path)["size"]
        if stored != size_bytes:
            raise TransientError(f"{shown(url)} holds {stored} bytes, {size_bytes} were sent: publish again")


def upload_file(path: Path, url: str) -> None:
    """Copy the file ``path`` to ``url``."""
    with open(path, "rb") as file:
        upload((memoryview(piece) for piece in iter(lambda: file.read(MIB), b"")), url, path.stat().st_size)


def remove(url: str) -> None:
    """Remove the file at ``url``, if it is there."""
    with opened(url, OWN) as (file_system, path), contextlib.suppress(FileNotFoundError):
        file_system.rm_file(path)


@contextlib.contextmanager
def opened(location: str, limits: UrlLimits = UrlLimits(), alone: bool = False) -> Iterator[tuple[Any, str]]:
    """The fsspec file system of ``location``, and its path there; what fails in the block is explained.

    An instance is kept for this thread's next call, since a new one of s3 takes 0.1 to 0.3 s of CPU. It is new if it
    shall be ``alone``, for a transaction belongs to an instance, and over SSH, where it is one connection.
    """
    import fsspec  # slow to import

    location = normalised(location)
    with errors_of(location):
        if not is_url(location):
            yield fsspec.filesystem("file"), location
            return
        if is_web(location):
            raise InputError(f"{shown(location)}: can only be read, and by its full name; give a path, or s3, gs, ...")
        if location.startswith("sftp://"):
            from latentsync.storage.ssh import connected  # needs the extra

            with connected(location, limits.allow_private) as server_and_path:
                yield server_and_path
            return
        yield fsspec.core.url_to_fs(location, use_listings_cache=False, skip_instance_cache=alone)


@contextlib.contextmanager
def errors_of(location: str) -> Iterator[None]:
    """Turn what the many drivers raise about ``location`` into this package's errors."""
    try:
        yield
    except LipsyncError:
        raise
    except Exception as error:
        raise _explain(error, location) from None


def _explain(error: Exception, location: str) -> LipsyncError:
    import httpx

    place = shown(location)
    if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
        kind = InputError if web.is_users_fault(error) else TransientError
        return kind(f"{place}: {web.explain(error)}; check the address, your rights and the network")
    said = next(iter(str(error).splitlines()), "")  # Azure's go on with XML
    what = shown(said if isinstance(error, OSError) else f"{type(error).__name__}: {said}")
    if isinstance(error, FileNotFoundError):
        return InputError(f"{place}: no such file or folder; check the address")
    if isinstance(error, ImportError):
        scheme = location.partition("://")[0]
        install = f": pip install -c constraints.txt '.[{scheme}]'" if scheme in _EXTRAS else ""
        return InputError(f"{place}: {what}; install the package for this kind of URL{install}")
    status = getattr(error, "status_code", getattr(error, "code", None))  # Azure's and gcsfs' names for it
    answer = getattr(error.__cause__, "response", None)  # botocore's
    code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    is_users = isinstance(error, _USER_ERRORS) or type(error).__name__ in _NO_CREDENTIALS
    if is_users or status in _USER_STATUS or code in _USER_CODES:
        return InputError(f"{place}: {what}; check the name, your rights and the credentials")
    return TransientError(f"{place}: {what}; check the address, the credentials and the network")
