"""The table of a batch: one line per pair, for people and for programs."""

import csv
import io
import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from latentsync.errors import InputError
from latentsync.records import Record
from latentsync.storage.fs import write_text
from latentsync.storage.locations import same_file, shown


class Outcome(Record):
    """What became of one pair of a batch."""

    pair: str  # line of the manifest, or path without suffix
    state: Literal["made", "skipped", "unpaired", "rejected", "failed"]
    output: str = ""
    frames: int = 0
    seconds: float = 0.0
    cpu_seconds: float | None = None
    gpu_seconds: float | None = None
    price: float | None = None
    tags: str = ""  # with commas between
    message: str = ""
    date: str = ""  # of its end, ISO 8601 in UTC
    run_id: str = ""  # of the flow run that made it, or failed to, also on an earlier night
    link: str = ""  # to that run, where Prefect's UI is known


class Outcomes:
    """Outcomes in the order of the pairs; the file at ``location`` holds all that are known so far."""

    def __init__(self, location: str, others: Iterable[str] = ()) -> None:
        """Raises InputError for a file that is neither .csv nor .jsonl, or one of the batch's ``others``."""
        self.suffix = posixpath.splitext(location)[1].lower()
        if self.suffix not in (".csv", ".jsonl"):
            raise InputError(f"outcomes {shown(location)}: a table ends in .csv or .jsonl; choose another name")
        for other in others:
            if same_file(location, other):
                raise InputError(f"outcomes {shown(location)} would overwrite {shown(other)}; choose another name")
        self.location = location
        self.all: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """Append one and write the file. Raises InputError where that cannot be written."""
        self.all.append(outcome)
        write_text(_csv(self.all) if self.suffix == ".csv" else _jsonl(self.all), self.location)

    @property
    def failed(self) -> list[Outcome]:
        """Those that failed."""
        return [outcome for outcome in self.all if outcome.state == "failed"]

    def __str__(self) -> str:
        counts = Counter(outcome.state for outcome in self.all)
        told = ", ".join(f"{count} {state}" for state, count in counts.items()) or "there was no pair"
        reasons = "; ".join(f"{item.output}: {item.message}".removeprefix(": ") for item in self.failed)
        return f"{told}: {reasons}" if reasons else told


def _csv(outcomes: Sequence[Outcome]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(Outcome.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(outcome.model_dump() for outcome in outcomes)
    return text.getvalue()


def _jsonl(outcomes: Sequence[Outcome]) -> str:
    return "".join(f"{outcome.model_dump_json()}\n" for outcome in outcomes)
