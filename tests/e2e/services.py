"""Real processes of an installation on this machine: Prefect server, process worker, Dask cluster.

Each is started with its log in a file, and stopped by its pid together with its children.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import httpx
import psutil

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
START_SECONDS = 180.0  # generous: two busy cores import Prefect slowly
STOP_SECONDS = 20.0


class Services:
    """A context manager; everything that was started in it is gone when it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "OMP_NUM_THREADS": "1",
            "NO_COLOR": "1",
        }
        self.environment.pop("PREFECT_API_URL", None)
        self._running: dict[str, psutil.Popen] = {}

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *error: object) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)

    def start(self, name: str, *command: object) -> psutil.Popen:
        """Start a process in the repository's root and a session of its own; its output goes to ``log(name)``."""
        with open(self.log(name), "ab") as log:
            self._running[name] = psutil.Popen(
                list(map(str, command)),
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self._running[name]

    def run(self, *command: object) -> str:
        """Run to the end and return what was printed; raises with it when the command fails."""
        done = subprocess.run(
            list(map(str, command)), cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stderr}")
        return done.stdout + done.stderr

    def stop(self, name: str) -> None:
        """Stop a process and all that it started."""
        stop_tree(self._running.pop(name))

    def log(self, name: str) -> Path:
        """Where the output of the process ``name`` goes."""
        return self.folder / f"{name}.log"

    def process(self, name: str) -> psutil.Popen:
        """A running process."""
        return self._running[name]

    def server(self) -> str:
        """Start (or start again, on its old port) the Prefect server; returns its API's address."""
        port = self.environment.get("PREFECT_SERVER_API_PORT") or str(free_port())
        api = f"http://127.0.0.1:{port}/api"
        self.environment |= {"PREFECT_SERVER_API_PORT": port, "PREFECT_API_URL": api}
        self.start("server", BIN / "prefect", "server", "start", "--host", "127.0.0.1")
        wait_until(lambda: answers(f"{api}/health"), "the server answers")
        return api

    def deploy(self) -> None:
        """All that ``deployments/setup.sh`` tells a server, and a process worker."""
        self.run("env", f"PATH={BIN}:{os.environ['PATH']}", ROOT / "deployments" / "setup.sh")
        self.pool_worker()

    def pool_worker(self) -> None:
        """Start ``lipsync pool-worker``."""
        self.start("worker", BIN / "lipsync", "pool-worker", "lipsync")

    def scheduler(self, name: str = "scheduler") -> str:
        """Start a Dask scheduler; returns its address."""
        port = free_port()
        module = "distributed.cli.dask_scheduler"
        self.start(name, sys.executable, "-m", module, "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        return f"tcp://127.0.0.1:{port}"

    def dask_worker(self, name: str, address: str, *options: str) -> psutil.Popen:
        """Start ``lipsync worker``."""
        return self.start(name, BIN / "lipsync", "worker", address, *options)


def stop_tree(process: psutil.Process) -> None:
    """End a process kindly, then by force all that it started, also what has lost its parent."""
    tree = {*_session(process.pid)}
    with contextlib.suppress(psutil.NoSuchProcess):
        tree |= {process, *process.children(recursive=True)}
        process.terminate()
        psutil.wait_procs([process], STOP_SECONDS)
    for left in tree:
        kill(left)
    psutil.wait_procs(tree, STOP_SECONDS)


def _session(leader: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            if os.getsid(process.pid) == leader:
                yield process


def kill(process: psutil.Process) -> None:
    """``kill -9``; nothing happens when it has gone meanwhile."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)


def free_port() -> int:
    """A port of the loopback device that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(holds: Callable[[], object], what: str, seconds: float = START_SECONDS, every: float = 0.1) -> float:
    """Wait until ``holds()`` is true; returns the seconds it took, raises when it takes too long."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"after {seconds:.0f} s still not true: {what}")
        time.sleep(every)
    return time.monotonic() - began


def ffmpegs_about(folder: Path) -> Iterator[psutil.Process]:
    """ffmpeg processes that read or write in ``folder``."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("ff") and any(str(folder) in part for part in process.cmdline()):
                yield process


def flow_process(run: object) -> psutil.Process:
    """The process in which the worker executes the flow run."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("PREFECT__FLOW_RUN_ID") == str(run) and "prefect.engine" in process.cmdline():
                return process
    raise AssertionError(f"no process executes run {run}")


def answers(url: str) -> bool:
    """Whether something well is served there."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=2).is_success
    return False
