"""The last line of a process that is told to stop: it leaves at once, and what it has started leaves with it."""

import os
import signal
import sys
from typing import NoReturn


def leave(number: signal.Signals) -> NoReturn:
    """Say so on stderr and exit with 128 + the signal's number, without waiting for any thread or exit hook."""
    told = "what is done is kept; run the same command again to go on"
    print(f"\nstopped by {number.name}: {told}", file=sys.stderr, flush=True)
    os._exit(128 + number)
