"""The server of one command, where nobody has set up one: it neither outlives us nor we it."""

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from latentsync.errors import TransientError

INTERVAL_SECONDS, START_INTERVAL_SECONDS = 1.0, 0.1
STOP_SECONDS = 5.0
SETTINGS = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "0",  # nobody can look at them: half of all that it keeps
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "0",  # automations act in servers that last; each event is remembered
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",  # not one by one: half the CPU
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "2",
}
SERVER = "tasks.server_app"  # in its command line
# Reads process ids until we are gone, whatever ended us; then ends those processes.
GUARD = """trap '' INT TERM HUP; while read -r pid; do all="$all $pid"; done; [ -z "$all" ] || kill -9 $all"""


def start_temporary_server() -> Callable[[], None]:
    """Start the server in the background, if one is needed; the function returned waits until it answers.

    It dies with this process, also by kill -9, and a Ctrl-C is for this process alone. The function
    raises ``TransientError`` when the server does not start. As `prefect.server.api.server.SubprocessASGIServer`
    does, whose import alone takes longer than all that happens here.
    """
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS

    if PREFECT_API_URL.value():
        return lambda: None
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))  # held from here on, so that nobody else can take it
        server, port = _server(place), place.getsockname()[1]
    _end_with_us(server.pid)
    atexit.register(_stop, server)
    url = _use(f"http://127.0.0.1:{port}/api")
    patience_seconds = PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    return lambda: _wait_for(server, f"{url}/health", time.monotonic() + patience_seconds)


def has_lasting_server() -> bool:
    """Whether there is a server that people can look at, now and later."""
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    return bool(url) and url not in _temporary


def _server(place: socket.socket) -> subprocess.Popen[bytes]:
    from prefect.settings import get_current_settings

    application = ["--app-dir", Path(__file__).parents[1], "--factory", f"{SERVER}:create_app"]
    how = ["--fd", str(place.fileno()), "--log-level", "error", "--lifespan", "on"]
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # which the server inherits
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *application, *how],
            env={**os.environ, **SETTINGS, **settings},
            pass_fds=[place.fileno()],
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _use(url: str) -> str:
    """Let all threads and children of this process ask the server at ``url``."""
    import prefect.context

    os.environ["PREFECT_API_URL"] = url
    prefect.context.refresh_global_settings_context()
    _temporary.add(url)
    return url


def _wait_for(server: subprocess.Popen[bytes], health: str, end: float) -> None:
    import httpx

    with httpx.Client() as client:
        while server.poll() is None and time.monotonic() < end:
            with contextlib.suppress(httpx.HTTPError):
                client.get(health).raise_for_status()
                return
            time.sleep(START_INTERVAL_SECONDS)
    what = "does not answer" if server.poll() is None else f"ended with code {server.returncode}"
    raise TransientError(f"Prefect's temporary server {what}; try again")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """What it has not written yet, it writes now."""
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _end_with_us(pid: int) -> None:
    silent = subprocess.DEVNULL
    command = ["sh", "-c", GUARD]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=silent, stderr=silent, start_new_session=True)
    assert guard.stdin
    guard.stdin.write(f"{pid}\n".encode())
    guard.stdin.flush()
    _guards.append(guard)  # closed when this process ends


_guards: list[subprocess.Popen[bytes]] = []
_temporary: set[str] = set()  # URLs of our own servers


@contextlib.contextmanager
def watched_server() -> Iterator[None]:
    """End this process when its temporary server dies (killed, out of memory).

    Prefect would ask the dead server for minutes before it gives up, and longer the more tasks were done.
    """
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=[stop], name="temporary-server", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(stop: threading.Event) -> None:
    servers = [child for child in psutil.Process().children() if _is_server(child)]
    while servers and not stop.wait(INTERVAL_SECONDS):
        if not all(_lives(server) for server in servers):
            message = "failed: Prefect's temporary server has died; run again: what is done is kept"
            print(f"\n{message}", file=sys.stderr, flush=True)
            os._exit(1)


def _is_server(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return any(SERVER in part for part in process.cmdline())
    return False


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
