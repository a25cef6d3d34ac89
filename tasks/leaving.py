"""The end of a process that is told to stop: what it has started leaves with it, and a worker's run goes to another.

Prefect gives a run back to its queue in `prefect flow-run execute` alone (containers); the child of a process
worker does it here, where the same variable says so.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn
from uuid import UUID

if TYPE_CHECKING:  # importing it takes seconds, which a command that is told to stop early has not
    from prefect.client.orchestration import SyncPrefectClient

log = logging.getLogger("latentsync.tasks")

BEHAVIOR = "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"  # Prefect's; "reschedule" gives back
RUN_ID = "PREFECT__FLOW_RUN_ID"  # set by a worker for the process of a run
BACK_SECONDS = 5.0  # for a server to answer, when the process has to go
_is_back = threading.Event()  # the run of this process is in its queue again
BACK = "its process was told to stop: another worker goes on, what is done is kept"


def leave(number: signal.Signals) -> NoReturn:
    """Say so on stderr and exit with 128 + the signal's number, without waiting for any thread or exit hook.

    A run that is given back exits with 0: its worker would report any other as a crash.
    """
    told = "what is done is kept; run the same command again to go on"
    print(f"\nstopped by {number.name}: {told}", file=sys.stderr, flush=True)
    giving = threading.Thread(target=give_back, daemon=True)
    giving.start()
    giving.join(BACK_SECONDS)
    os._exit(0 if _is_back.is_set() else 128 + number)


@contextlib.contextmanager
def given_back() -> Iterator[None]:
    """Give the run of this process back to its queue, at the end, when SIGTERM has ended what is within."""
    from prefect.exceptions import TerminationSignal

    try:
        yield
    except TerminationSignal:
        give_back()
        raise


def give_back() -> None:
    """Put the run that a worker has made this process for into its queue again, if that is wanted.

    Not when it is cancelled. A server that does not answer is told nothing: then the run ends Crashed.
    """
    run = os.environ.get(RUN_ID)
    if not run or os.environ.get(BEHAVIOR) != "reschedule":
        return
    from prefect._internal import control_listener  # there is no public way to say why a process ends
    from prefect.client.orchestration import get_client

    if control_listener.get_intent():
        return
    try:
        with get_client(sync_client=True) as client:
            queue_again(client, UUID(run))
    except Exception as error:
        log.warning("the run is not given back to its queue: %s: %s", type(error).__name__, error)
    else:
        control_listener._set_intent("reschedule")
        _is_back.set()


def queue_again(client: "SyncPrefectClient", run: UUID) -> None:
    """Let any worker take the run from now on."""
    from prefect.states import AwaitingRetry

    client.set_flow_run_state(run, AwaitingRetry(message=BACK), force=True)
