"""How the command ends: 0 done, 2 bad input, 1 failed, 130 and 143 stopped by SIGINT and SIGTERM; one line says why."""

import errno
import signal
import sys
from collections.abc import Callable
from types import FrameType

from cyclopts import CycloptsError

from flows.cli.console import tell
from latentsync.errors import InputError, LipsyncError, WeightsError
from tasks.leaving import leave

NO_SUCH_PLACE = (errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which is handled as Ctrl-C is."""


def run_to_the_end(command: Callable[[], int | None]) -> int:
    """Exit code of ``command()``, 0 if it returns none; foreseen errors are told in one line, without a traceback."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return command() or 0
    except (InputError, WeightsError, CycloptsError) as error:
        return _told(2, "error", error)
    except LipsyncError as error:
        return _told(1, "failed", error)
    except OSError as error:
        if error.errno not in NO_SUCH_PLACE:
            raise
        return _told(2, "error", f"{error.filename}: {error.strerror}; choose another path")
    except KeyboardInterrupt as error:
        leave(signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
    except Exception as error:
        if not _is_unreachable_server(error):
            raise
        server = "Prefect's server does not answer: start it, or unset PREFECT_API_URL to run without one"
        return _told(1, "failed", server)
    except BaseException as error:
        if type(error).__name__ != "TerminationSignal":  # Prefect's, whose handler stands in for ours in a flow
            raise
        leave(signal.SIGTERM)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


def _told(code: int, verdict: str, what: object) -> int:
    tell(verdict, what)
    return code


def _is_unreachable_server(error: BaseException) -> bool:
    httpx = sys.modules.get("httpx")  # slow to import, and Prefect has done so
    return "Failed to reach API" in str(error) or (httpx is not None and isinstance(error, httpx.TransportError))
