"""What `sync` and `rerun` share: the flow run with bars, and numbers of segments."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flows.cli.console import console
from latentsync.errors import InputError


@contextmanager
def flow_runs() -> Iterator[Callable[[], None]]:
    """Get Prefect ready to run a flow here; call what is yielded right before, to wait for its server and show bars."""
    from prefect.settings import temporary_settings

    from tasks.temporary_server import has_lasting_server, start_temporary_server

    server_answers = start_temporary_server()
    # Nobody reads the log of a temporary server, or waits for its runs' heartbeats.
    silent: dict[Any, Any] = {"logging.to_api.enabled": False, "flows.heartbeat_frequency": None}
    with temporary_settings({} if has_lasting_server() else silent), contextlib.ExitStack() as stack:

        def ready() -> None:
            from flows.cli.bars import Bars
            from flows.observe.progress import listening

            server_answers()
            stack.enter_context(listening(stack.enter_context(Bars(console))))

        yield ready


def quiet_prefect() -> None:
    """Keep Prefect off the console; its server, where there is one of the user's own, gets the log all the same.

    Must come before Prefect is imported.
    """
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "60")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")


def segment_numbers(option: str, text: str) -> list[int]:
    """[3, 7] from "3,7". Raises ``InputError`` that names the option."""
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError(f"{option} {text!r}: give segment numbers such as 3,7") from None
