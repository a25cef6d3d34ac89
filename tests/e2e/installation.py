"""A whole installation on this machine and a job to run on it."""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from distributed import Client

from tasks.progress import read_progress
from tests.conftest import Clip
from tests.e2e.ledger import records
from tests.e2e.media import make_clip
from tests.e2e.runs import Runs
from tests.e2e.services import Services, wait_until

SEGMENTS = 6
SECONDS = 7.68  # 192 frames: six segments of two windows
CPU_WORKERS = ("cpu-1", "cpu-2")


class Installation:
    """Prefect server, deployments with automations, process worker; a Dask cluster once it is wanted.

    A context manager.
    """

    clip: Clip
    runs: Runs

    def __init__(self, folder: Path) -> None:
        self.folder, self.work, self.outputs = folder, folder / "work", folder / "outputs"
        self.services = Services(folder / "services")

    def __enter__(self) -> Self:
        self.services.__enter__()
        try:
            self.outputs.mkdir(parents=True)
            self.clip = make_clip(self.folder / "input", SECONDS)
            self.runs = Runs(self.services.server())
            self.runs.__enter__()
            self.services.deploy()
        except BaseException:
            self.services.__exit__()
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        self.runs.__exit__(*error)
        self.services.__exit__(*error)

    @cached_property
    def address(self) -> str:
        """The scheduler of two CPU workers and one GPU worker, which only pretends: it may see no GPU."""
        address = self.services.scheduler()
        for name in CPU_WORKERS:
            self.services.dask_worker(name, address, "--cpus", "1")
        self.services.dask_worker("gpu-0", address, "--gpu", "0", "--engine", "warp")
        wait_until(lambda: len(_pids(address)) == len(CPU_WORKERS) + 1, "all Dask workers have come")
        return address

    def submit(self, output: Path, environment: dict[str, str] | None = None, **run: Any) -> UUID:
        """A job of six segments through the deployment, on the cluster unless ``run`` says otherwise.

        ``environment`` of the run's process adds to that of the deployment.
        """
        where = {} if run.get("runner") == "threads" else {"runner": "dask", "dask_address": self.address}
        settings = self.settings({**where, **run})
        video, voice = str(self.clip.video), str(self.clip.voice)
        parameters = {"video": video, "audio": voice, "output": str(output), "settings": settings}
        return self.runs.create("lipsync/lipsync", environment, **parameters)

    def settings(self, run: dict[str, Any]) -> dict[str, Any]:
        """Those of a job of six segments."""
        return {"segments": {"segment_seconds": SECONDS / SEGMENTS}, "run": {"work_dir": str(self.work), **run}}

    def dask_pids(self) -> dict[str, int]:
        """Address of each Dask worker -> its process."""
        return _pids(self.address)

    def dask_busy(self, stage: str) -> int:
        """The process of a Dask worker that runs a task of ``stage``; waits until one does."""
        pids, busy = self.dask_pids(), []

        def found() -> bool:
            processing = _ask(self.address, lambda client: client.processing())
            busy.extend(pids[address] for address, keys in processing.items() if any(stage in str(key) for key in keys))
            return bool(busy)

        wait_until(found, f"a worker runs {stage}")
        return busy[0]

    def wait_for(self, run: UUID, segment: int) -> None:
        """Wait until a run is rendering ``segment``, or of a later one."""

        def making() -> bool:
            doing = read_progress(self.work / "runs" / str(run))
            return any(f"render-{number:03d}" in doing for number in range(segment, SEGMENTS))

        wait_until(making, f"run {run} makes segment {segment}", every=0.05)

    def clip_of(self, segment: int) -> Path:
        """The rendered clip of a segment, by the cached results."""
        (clip,) = (one["value"]["path"] for one in records(self.work) if one["took"]["task"] == f"render-{segment:03d}")
        return Path(clip)

    def loads(self, name: str) -> int:
        """How often the process ``name`` has loaded an engine, by its log."""
        return self.services.log(name).read_text(errors="replace").count("loading engine")

    def temporary_files(self) -> list[Path]:
        """Files that a task has begun and not finished."""
        hidden = (path for folder in (self.work, self.outputs) for path in folder.rglob(".*") if path.is_file())
        records = self.work / "runs"
        return [path for path in hidden if path.suffix != ".lock" and not path.is_relative_to(records)]


def _pids(address: str) -> dict[str, int]:
    return _ask(address, lambda client: client.run(os.getpid))


def _ask(address: str, question: Callable[[Client], Any]) -> Any:
    with Client(address, set_as_default=False) as client:
        return question(client)
