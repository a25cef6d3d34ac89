"""Paths and URLs as people type them."""

from pathlib import Path

from latentsync.errors import InputError


def absolute(location: str) -> str:
    """The location, from any folder. Raises ``InputError`` for a name that no report or server could hold."""
    try:
        location.encode()
    except UnicodeEncodeError:
        raise InputError(f"{location!a}: the name is not UTF-8; rename the file") from None
    return location if "://" in location else str(Path(location).expanduser().absolute())
