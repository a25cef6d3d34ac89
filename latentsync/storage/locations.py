"""Locations: paths of this machine and URLs; normalised once, compared, and shown without their secrets."""

import contextlib
import os
import re
from pathlib import Path

from latentsync.errors import InputError

# The kinds of URL that lead to another machine. ``local``, ``dir``, ``zip`` and their like, and chains of URLs
# (``simplecache::...``), would lead fsspec to files of this one.
_SCHEMES = {
    "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "abfs": "abfs", "abfss": "abfs", "az": "abfs",
    "http": "http", "https": "https", "sftp": "sftp", "memory": "memory",
}  # fmt: skip
_KNOWN = "s3, gs, abfs, http, https, sftp or file"
_URL = re.compile(r"([a-zA-Z][\w+.:-]*)://(.*)", re.DOTALL)
_URL_IN_TEXT = re.compile(r"\b([a-zA-Z][\w+.-]*://)([^\s'\"<>|]*)")
_TO_SIGN, _TO_LAST_SIGN = r"^[^/?#]*@", r"^[^/?#@]*:(?!\d*(?:[/?#]|$)).*@"  # the latter where a password has a slash
_USER = re.compile(f"{_TO_SIGN}|{_TO_LAST_SIGN}")
_SECRET = re.compile(f"{_TO_LAST_SIGN}|{_TO_SIGN}")  # the same for people: rather too much than too little
_ENDS_URL = re.compile(r"[\s'\"<>|]")  # in a text, as `_URL_IN_TEXT` sees it
_QUERY = re.compile(r"[?#].*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONG_WORD = re.compile(r"(\S{300})\S+")


def is_url(location: str) -> bool:
    """Whether ``location`` is a URL other than ``file://``."""
    found = _URL.match(location)
    return found is not None and found[1].lower() != "file"


def normalised(location: str, folder: str = "") -> str:
    """An absolute path, or a URL of a known kind; a relative path is seen from ``folder`` (path or URL).

    Raises InputError for a URL of another kind, and for what no file can be called.
    """
    if not location or "\0" in location:
        raise InputError(f"{location!r} is no name of a file; give a path or URL")
    try:
        location.encode()
    except UnicodeEncodeError:
        raise InputError(f"{location!r}: the name is not UTF-8; rename the file") from None
    if found := _URL.match(location):
        return _normalised_url(location, found[1].lower(), found[2])
    if folder and is_url(folder) and not location.startswith(("/", "~")):
        return f"{folder.rstrip('/')}/{location}"
    try:
        return str(Path(folder).expanduser().absolute() / Path(location).expanduser())
    except RuntimeError as error:  # ~somebody who has no home
        raise InputError(f"{location}: {error}; give an absolute path") from None


def _normalised_url(location: str, scheme: str, rest: str) -> str:
    if scheme == "file":
        path = rest.removeprefix("localhost")
        if not path.startswith("/"):
            raise InputError(f"{location}: names a file of another machine; write file:///path")
        return path
    if scheme not in _SCHEMES or ("::" in rest and not scheme.startswith("http")):  # where [::1] is a host
        raise InputError(f"{shown(location)}: this kind of URL cannot be used; give a path, or a URL of {_KNOWN}")
    if (user := _USER.match(rest)) and _ENDS_URL.search(user[0]):  # no message could tell where the password ends
        raise InputError(f"{scheme}://...@: user or password with a space, a quote or the like; write %20, %22, %27")
    if not rest.strip("/") or _CONTROL.search(rest):
        raise InputError(f"{shown(location)!r} is no complete URL; check the address")
    return f"{_SCHEMES[scheme]}://{rest}"


def local_path(location: str) -> Path:
    """The path of this machine that ``location``, which is no URL, stands for."""
    return Path(normalised(location))


def same_file(one: str, other: str) -> bool:
    """Whether both locations lead to one file: by device and inode where both are there, else by name."""
    one, other = canonical(one), canonical(other)
    with contextlib.suppress(OSError):
        return one == other or os.path.samefile(one, other)
    return False


def canonical(location: str) -> str:
    """The path without links and ``..``, or the URL without query: equal for locations of one file."""
    location = normalised(location)
    return _QUERY.sub("", location) if is_url(location) else os.path.realpath(location)


def is_inside(location: str, folder: str) -> bool:
    """Whether ``location`` lies in ``folder`` or below, whatever links and ``..`` are on the way."""
    location, folder = canonical(location), canonical(folder).rstrip("/")
    return location.startswith(f"{folder}/") and ".." not in location.split("/")


def shown(text: str) -> str:
    """``text`` for people and logs: no user, password, query or fragment in its URLs, and no name without an end."""
    text = _URL_IN_TEXT.sub(lambda url: url[1] + _QUERY.sub("?...", _SECRET.sub("", url[2])), text)
    return _LONG_WORD.sub(r"\1...", text)


def without_user(url: str) -> str:
    """The URL without user and password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{_USER.sub('', rest)}"


def user_cache() -> Path:
    """The folder of this user for what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
