"""Which outputs are finished, and which cannot be made: a small record per output in the workspace.

An output counts as finished while it is the file that was published and its inputs and settings are
those it was made from; it counts as rejected while these are those that could not be used. Files are
compared by size, time and tag, so nothing is read.
"""

import hashlib
import json
import os
from pathlib import Path

from pydantic import ValidationError

from latentsync.records import Record
from latentsync.settings import Settings
from latentsync.storage.atomic import WORK, write_whole
from latentsync.storage.fs import OWN, UrlLimits, mark
from latentsync.storage.locations import shown
from latentsync.storage.workspace import read_record
from latentsync.versions import versions


class Finished(Record):
    """A published output: where, its mark, the digest of all it was made from, and the flow run that made it."""

    output: str
    mark: dict[str, str]
    made_from: str
    run_id: str = ""


class Rejected(Record):
    """An output that cannot be made: what it would be made from, by which version, why not, and which run said so."""

    made_from: str
    version: str
    reason: str
    run_id: str = ""


def made_from(video: str, audio: str, settings: Settings) -> str:
    """Digest of the inputs' marks and of the settings that change the output. Take it before the job runs."""
    choices = settings.model_dump(mode="json", exclude={"run"})
    limits = UrlLimits.of(settings.run)
    text = json.dumps([[video, mark(video, limits)], [audio, mark(audio, limits)], choices], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def remember_finished(root: Path, output: str, source: str, run_id: str) -> None:
    """Record in the workspace ``root`` that ``run_id`` made ``output`` from ``source`` (see ``made_from``)."""
    record = Finished(output=shown(output), mark=mark(output, OWN), made_from=source, run_id=run_id)
    write_whole(_path(root, output), record.model_dump_json().encode(), WORK)


def find_finished(root: Path, output: str, source: str) -> Finished | None:
    """The record of ``output``, if it is there, untouched, and was made from ``source``."""
    path = _path(root, output)
    try:
        record = Finished.model_validate_json(read_record(path))
    except (OSError, ValidationError):
        return None
    if not record.mark or (record.output, record.mark, record.made_from) != (shown(output), mark(output, OWN), source):
        return None
    os.utime(path)  # in use: the sweep goes by this time
    return record


def reject(root: Path, output: str, source: str, reason: str, run_id: str) -> None:
    """Record that ``output`` cannot be made from ``source``, says ``run_id``, until that or this program changes."""
    record = Rejected(made_from=source, version=_version(), reason=reason, run_id=run_id)
    write_whole(_path(root, output, "rejected"), record.model_dump_json().encode(), WORK)


def find_rejected(root: Path, output: str, source: str) -> Rejected | None:
    """Why ``output`` cannot be made from ``source``; None when nothing is known against it."""
    try:
        record = Rejected.model_validate_json(read_record(_path(root, output, "rejected")))
    except (OSError, ValidationError):
        return None
    return record if (record.made_from, record.version) == (source, _version()) else None


def _version() -> str:
    return versions(["lipsync-pipeline"])["lipsync-pipeline"]


def _path(root: Path, output: str, kind: str = "finished") -> Path:
    return root / kind / f"{hashlib.sha256(output.encode()).hexdigest()}.json"
