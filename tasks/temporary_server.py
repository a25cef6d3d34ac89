"""The server that Prefect starts for one command, where nobody has set up one: it neither outlives us nor we it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import psutil

from latentsync.errors import TransientError

INTERVAL_SECONDS = 1.0
SERVER = "prefect.server.api.server"  # in the command line of the child that Prefect starts
# Reads process ids until we are gone, whatever ended us; then ends those processes.
GUARD = """trap '' INT TERM HUP; while read -r pid; do all="$all $pid"; done; [ -z "$all" ] || kill -9 $all"""


def start_temporary_server() -> Callable[[], None]:
    """Start the server in the background, if one is needed; the function returned waits until it answers.

    It dies with this process, also by kill -9, and a Ctrl-C is for this process alone. The function
    raises ``TransientError`` when the server does not start.
    """
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():
        return lambda: None
    from prefect.server.api.server import SubprocessASGIServer

    server, errors = SubprocessASGIServer(), []

    def start() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # the server inherits it
        try:
            server.start()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=start, name="temporary-server", daemon=True)
    thread.start()
    while thread.is_alive() and server.server_process is None:
        time.sleep(0.01)
    if server.server_process:
        _end_with_us(server.server_process.pid)

    def wait() -> None:
        thread.join()
        if errors:
            raise TransientError(f"Prefect's temporary server does not start ({errors[0]}); try again") from errors[0]

    return wait


def _end_with_us(pid: int) -> None:
    silent = subprocess.DEVNULL
    command = ["sh", "-c", GUARD]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=silent, stderr=silent, start_new_session=True)
    assert guard.stdin
    guard.stdin.write(f"{pid}\n".encode())
    guard.stdin.flush()
    _guards.append(guard)  # closed when this process ends


_guards: list[subprocess.Popen[bytes]] = []


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
