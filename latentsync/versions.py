"""Which versions of which libraries are installed: for the keys of what they compute."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Distribution -> its version; empty where it is not installed."""
    return {name: _version(name) for name in distributions}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
