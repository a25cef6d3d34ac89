"""Which outputs are finished: a small record per output in the workspace, of what it was made from.

An output counts as finished while it is the file that was published and its inputs and settings are
those it was made from. Files are compared by size, time and tag, so nothing is read.
"""

import hashlib
import json
import os
from pathlib import Path

from pydantic import ValidationError

from latentsync.records import Record
from latentsync.settings import Settings
from latentsync.storage.atomic import WORK, write_whole
from latentsync.storage.fs import UrlLimits, mark


class Finished(Record):
    """A published output: where, its mark, and the digest of all it was made from."""

    output: str
    mark: dict[str, str]
    made_from: str


def made_from(video: str, audio: str, settings: Settings) -> str:
    """Digest of the inputs' marks and of the settings that change the output. Take it before the job runs."""
    choices = settings.model_dump(mode="json", exclude={"run"})
    limits = UrlLimits.of(settings.run)
    text = json.dumps([[video, mark(video, limits)], [audio, mark(audio, limits)], choices], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def remember_finished(root: Path, output: str, source: str) -> None:
    """Record in the workspace ``root`` that ``output`` was made from ``source`` (see ``made_from``)."""
    record = Finished(output=output, mark=mark(output), made_from=source)
    write_whole(_path(root, output), record.model_dump_json().encode(), WORK)


def is_finished(root: Path, output: str, source: str) -> bool:
    """Whether ``output`` is there, untouched, and was made from ``source``."""
    path = _path(root, output)
    try:
        record = Finished.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return False
    if not record.mark or record != Finished(output=output, mark=mark(output), made_from=source):
        return False
    os.utime(path)  # in use: the sweep goes by this time
    return True


def _path(root: Path, output: str) -> Path:
    return root / "finished" / f"{hashlib.sha256(output.encode()).hexdigest()}.json"
