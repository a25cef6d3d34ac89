"""Cancel in Prefect's UI for a run that no worker executes: one of the command line or of a script."""

import logging
import os
import signal
import time
from uuid import UUID

from prefect._internal import control_listener  # there is no public way to say that a SIGTERM means cancel
from prefect.client.orchestration import get_client

from flows.observe.progress import StageProgress
from tasks.run import Run
from tasks.temporary_server import has_lasting_server

log = logging.getLogger("latentsync.flows.cancelling")

INTERVAL_SECONDS = 5.0


class CancelWatch:
    """Listener that ends this process's run, as a worker would, once it is Cancelling."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._next = time.monotonic() + INTERVAL_SECONDS
        self._asks = has_lasting_server() and not run.of_deployment

    def __call__(self, _stages: dict[str, StageProgress]) -> None:
        """Look from time to time; a server that does not answer is no reason to stop."""
        if not self._asks or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + INTERVAL_SECONDS
        try:
            cancelling = self._is_cancelling()
        except Exception as error:
            log.info("whether the run is cancelled is not known: %s: %s", type(error).__name__, error)
            return
        if cancelling:
            self._asks = False
            log.warning("cancelled in Prefect's UI")
            control_listener._set_intent("cancel")
            os.kill(os.getpid(), signal.SIGTERM)

    def _is_cancelling(self) -> bool:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(self._run.id)).state
        return state is not None and state.is_cancelling()
