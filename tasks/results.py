"""The one ledger of what is done: Prefect's result records, kept as JSON in the workspace.

A workspace may be a shared folder or a bucket that others can write to, so nothing in a record is
believed but data: it is read as the record type of one of our stages, whatever it says of itself.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from prefect.filesystems import WritableFileSystem
from prefect.serializers import Serializer
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from latentsync.errors import InputError, TransientError
from latentsync.records import Artefact, Record
from latentsync.storage import fs
from latentsync.storage.atomic import WORK, write_whole
from latentsync.storage.download import fetch
from latentsync.storage.locations import is_url, without_user
from latentsync.storage.workspace import Workspace, read_record

R = TypeVar("R")
T = TypeVar("T")

SERIALIZER = "lipsync-record"
PAUSES_SECONDS = (0.5, 2.0)  # before the storage of records is asked again
LOCAL = "local"  # id of a run outside Prefect
_types: dict[str, type[Record]] = {}  # results that may be read: those of our stages


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))  # a KiB less than a Record, of every task
class Took:
    """What making a result took, measured where it was made; a figure that nobody has is None."""

    run: str  # id of the flow run that made it
    task: str  # its name in the timeline
    seconds: float
    attempts: int
    worker: str  # host, or host and GPU
    peak_rss_mib: int  # of the worker's process, so far
    cpu_seconds: float | None = None  # of its process and those children that ended; tasks side by side share
    peak_gpu_mib: int | None = None
    gpu_seconds: float | None = None  # with a GPU, or a share of one, to itself
    gpu_memory_steps: int | None = None  # times that GPU memory ran out


class Done(Record, Generic[R]):
    """A stage's result, and what it took."""

    value: R
    took: Took


def allow(kind: type[Record]) -> None:
    """Let records of this type be read back."""
    _types[kind.__name__] = kind


class RecordSerializer(Serializer):
    """JSON with the name of the value's type, which is looked up, never imported.

    Reading validates: a record whose file is lost or damaged raises ``ValueError``, a cache miss.
    """

    type: str = Field(default=SERIALIZER, frozen=True)

    def dumps(self, obj: Done[Any]) -> bytes:
        """One JSON object: kind, value, took."""
        kind = type(obj.value).__name__
        return json.dumps({"kind": kind, **obj.model_dump(mode="json")}).encode()

    def loads(self, blob: bytes) -> Done[Any]:
        """Raises ``ValueError`` for anything but an intact record of a known type."""
        data = json.loads(blob)
        kind = _types.get(data.pop("kind", "")) if isinstance(data, dict) else None
        if kind is None:
            raise ValueError("this is no result of our stages")
        done = Done[kind].model_validate(data)
        for file in files_in([done.value]):
            if not file.path.is_file() and not fs.mark(file.url, fs.OWN):
                raise ValueError(f"{file.url} is gone")
        return done


class Records(WritableFileSystem):
    """Result records under ``results`` in a workspace: a folder, or the URL that it mirrors."""

    _block_type_name = "Lipsync records"
    work_dir: str

    def read_path(self, path: str, _sync: bool = True) -> bytes:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Bytes of a record; its own choice of a serializer is replaced by ours."""
        workspace = Workspace.at(self.work_dir)
        if workspace.mirror:
            content = _tried(lambda: fs.read_text(f"{workspace.mirror}/results/{path}", fs.OWN).encode())
        else:
            content = read_record(workspace.root / "results" / path)
        record = json.loads(content)
        record["metadata"]["serializer"] = {"type": SERIALIZER}
        record["result"] = json.dumps(_at_home(json.loads(record["result"]), workspace))
        return json.dumps(record).encode()

    def write_path(self, path: str, content: bytes, _sync: bool = True) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Write a record, whole or not at all."""
        workspace = Workspace.at(self.work_dir)
        if workspace.mirror:
            record = json.loads(content)
            record["result"] = json.dumps(_unsigned(json.loads(record["result"])))
            _tried(lambda: fs.write_text(json.dumps(record), f"{workspace.mirror}/results/{path}"))
        else:
            _tried(lambda: write_whole(workspace.root / "results" / path, content, WORK))

    def made_by(self, run: str, key: str) -> Done[Any] | None:
        """The intact result under ``key`` if the flow run ``run`` itself has made it."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError, InputError):
            done = RecordSerializer().loads(json.loads(self.read_path(key))["result"].encode())
            return done if done.took.run == run else None
        return None

    def _resolve_path(self, path: str) -> None:
        """Keys are names as they stand."""


def _unsigned(data: Any) -> Any:
    """A record's data for a place that others may read: its URLs tell no user and password."""
    if isinstance(data, list):
        return [_unsigned(item) for item in data]
    if not isinstance(data, dict):
        return data
    return {name: without_user(item) if name == "url" else _unsigned(item) for name, item in data.items()}


def _at_home(data: Any, workspace: Workspace) -> Any:
    """A record's data with its files where they belong on this machine; ``ValueError`` for any other place."""
    if isinstance(data, list):
        return [_at_home(item, workspace) for item in data]
    if not isinstance(data, dict):
        return data
    if not {"path", "sha256"} <= data.keys():
        return {name: _at_home(item, workspace) for name, item in data.items()}
    path, url = Path(data["path"]), data.get("url", "")
    name = without_user(url).removeprefix(f"{without_user(workspace.mirror)}/") if url else ""
    if workspace.mirror and url:
        path = workspace.root / name
    elsewhere = url and (not workspace.mirror or is_url(name))
    if elsewhere or not path.resolve().is_relative_to(workspace.root.resolve()):
        raise ValueError(f"{path}: a result outside the workspace")
    url = url and f"{workspace.mirror}/{name}"
    return {**data, "path": str(path), "url": url}


def _tried(work: Callable[[], T]) -> T:
    """Prefect takes a failure here for a missing record, or loses one: so what may pass is tried again."""
    for pause in PAUSES_SECONDS:
        try:
            return work()
        except TransientError:
            time.sleep(pause)
    return work()


def files_in(values: Iterable[object]) -> Iterator[Artefact]:
    """All files that these records name."""
    for value in values:
        if isinstance(value, Artefact):
            yield value
        elif isinstance(value, Record):
            yield from files_in(getattr(value, name) for name in type(value).model_fields)
        elif isinstance(value, list | tuple):
            yield from files_in(value)


def bring(values: Iterable[object]) -> None:
    """Bring the files that records name to this machine, where it lacks them. Raises as ``fetch``."""
    for file in files_in(values):
        fetch(file)
