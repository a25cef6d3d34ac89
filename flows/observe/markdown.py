"""Prefect's UI shows artifacts as Markdown: names of files are shown as they are."""

import re

from latentsync.errors import one_line

_MEANS_SOMETHING = re.compile(r"([\\`*_\[\]<>|!~#])")


def plain(text: str) -> str:
    """``text`` as Markdown that shows just this: no link, picture, tag or column comes of it."""
    return _MEANS_SOMETHING.sub(r"\\\1", one_line(text))
