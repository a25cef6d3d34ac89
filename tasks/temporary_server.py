"""Watches the server that Prefect starts for one command, where nobody has set up one."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

import psutil

INTERVAL_SECONDS = 1.0
SERVER = "prefect.server.api.server"  # in the command line of the child that Prefect starts


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
