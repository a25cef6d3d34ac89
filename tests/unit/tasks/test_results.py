"""The ledger reads data, whatever a record in the workspace says of itself."""

import base64
import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from prefect.results import ResultStore

from latentsync.records import Artefact
from latentsync.storage.workspace import Workspace
from tasks.locks import KeyLocks
from tasks.results import Done, Records, RecordSerializer, Took, allow

allow(Artefact)


def done(path: Path, run: str = "this") -> Done[Artefact]:
    took = Took(run=run, task="generate-000", seconds=1, attempts=1, worker="here", peak_rss_mib=1)
    return Done(value=Artefact.of(path), took=took)


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    storage = Records(work_dir=str(tmp_path))
    return ResultStore(result_storage=storage, serializer=RecordSerializer(), cache_result_in_memory=False)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    (tmp_path / "clip.mkv").write_text("frames")
    return tmp_path / "clip.mkv"


def plant(tmp_path: Path, serializer: dict, result: str) -> None:
    """Write a record as somebody else might."""
    record = {"metadata": {"storage_key": "key", "serializer": serializer}, "result": result}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "key").write_text(json.dumps(record))


class Bomb:
    """Makes the file ``seen`` when it is unpickled."""

    def __init__(self, seen: Path) -> None:
        self.seen = seen

    def __reduce__(self) -> tuple:
        return Path.touch, (self.seen,)


def test_what_was_written_is_read_back(store: ResultStore, clip: Path) -> None:
    store.write(done(clip), "key")
    assert store.read("key").result == done(clip)


def test_a_planted_pickle_is_a_miss_and_is_not_run(store: ResultStore, tmp_path: Path) -> None:
    bomb = base64.encodebytes(pickle.dumps(Bomb(tmp_path / "seen"))).decode()
    plant(tmp_path, {"type": "pickle", "picklelib": "pickle"}, bomb)
    assert not store.exists("key")
    assert not (tmp_path / "seen").exists()


@pytest.mark.parametrize("field", ["__exc_type__", "__class__"])
def test_a_planted_json_object_calls_nothing(store: ResultStore, tmp_path: Path, field: str) -> None:
    command = f"touch {tmp_path / 'seen'}"
    plant(tmp_path, {"type": "json"}, json.dumps({field: "os.system", "message": command, "data": command}))
    assert not store.exists("key")
    assert not (tmp_path / "seen").exists()


@pytest.mark.parametrize("damage", ["frame", "framed", None])
def test_a_record_whose_file_is_damaged_or_gone_is_a_miss(store: ResultStore, clip: Path, damage: str | None) -> None:
    store.write(done(clip), "key")
    clip.unlink()
    if damage:
        clip.write_text(damage)
    assert not store.exists("key")


def test_what_a_run_itself_has_made_is_known(store: ResultStore, clip: Path, tmp_path: Path) -> None:
    store.write(done(clip, run="this"), "key")
    records = Records(work_dir=str(tmp_path))
    assert records.made_by("this", "key") == done(clip, run="this")
    assert records.made_by("another", "key") is None
    assert records.made_by("this", "another-key") is None


def test_a_record_elsewhere_tells_no_password_and_leads_back_with_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    url = "memory://me:secret@host/work"
    path = Workspace.at(url).path("ab" * 32, "render", "x.mkv")
    path.write_text("frames")
    kept = Done(value=Workspace.at(url).keep(path), took=done(path).took)
    storage = Records(work_dir=url)
    store = ResultStore(result_storage=storage, serializer=RecordSerializer(), cache_result_in_memory=False)
    try:
        store.write(kept, "key")
        assert b"secret" not in fsspec.filesystem("memory").cat_file("/me:secret@host/work/results/key")
        assert store.read("key").result == kept
    finally:
        fsspec.filesystem("memory").rm("/me:secret@host", recursive=True)


def test_a_record_of_a_bucket_may_not_exist_yet() -> None:
    assert Records(work_dir="memory://no-such-bucket/work").made_by("this", "key") is None


@pytest.mark.parametrize("where", ["{}/../stolen", "/etc/passwd"])
def test_a_planted_record_names_no_file_outside_the_workspace(store: ResultStore, tmp_path: Path, where: str) -> None:
    record = json.loads(RecordSerializer().dumps(done(Path(__file__))))
    record["value"].update(path=where.format(tmp_path), url="file:///etc/passwd")
    plant(tmp_path, {"type": "json"}, json.dumps(record))
    assert not store.exists("key")


def test_a_planted_record_without_a_url_names_none_either(store: ResultStore, tmp_path: Path) -> None:
    record = json.loads(RecordSerializer().dumps(done(Path(__file__))))
    del record["value"]["url"]
    plant(tmp_path, {"type": "json"}, json.dumps(record))
    assert not store.exists("key")


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "1" * 5000, '{"metadata": {}, "result": "1"}'])
def test_what_is_no_record_is_a_miss(store: ResultStore, tmp_path: Path, content: str) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "key").write_text(content)
    assert not store.exists("key")
    assert Records(work_dir=str(tmp_path)).made_by("this", "key") is None


def _huge(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # no disk has it, no memory takes it


PLANTED = {"FIFO": os.mkfifo, "link": lambda path: path.symlink_to("/dev/zero"), "folder": Path.mkdir, "huge": _huge}


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_in_a_records_place_is_not_waited_for(store: ResultStore, tmp_path: Path, kind: str) -> None:
    (tmp_path / "results").mkdir()
    PLANTED[kind](tmp_path / "results" / "key")
    assert not store.exists("key")


def test_a_lock_that_its_thread_forgot_is_no_dead_end(tmp_path: Path) -> None:
    locks = KeyLocks(str(tmp_path))
    assert locks.acquire_lock("key", "a transaction whose record could not be read")
    assert locks.acquire_lock("key", "its next attempt", acquire_timeout=0.01)
    locks.release_lock("key", "its next attempt")


def test_a_lock_is_its_holders_until_he_lets_it_go(tmp_path: Path) -> None:
    locks = KeyLocks(str(tmp_path))
    assert locks.acquire_lock("key", "one")
    with ThreadPoolExecutor() as other:
        assert not other.submit(locks.acquire_lock, "key", "two", 0.01).result()
    locks.release_lock("key", "two")
    assert locks.is_lock_holder("key", "one")
    locks.release_lock("key", "one")
    assert not locks.is_locked("key")
    assert locks.acquire_lock("key", "two")
    locks.release_lock("key", "two")
