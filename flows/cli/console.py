"""The one console of the command: bars, warnings and verdicts go to stderr, also in a pipe."""

import logging
import sys
import warnings

from rich.console import Console
from rich.markup import escape

from latentsync.errors import one_line

console = Console(stderr=True)


def tell(verdict: str, what: object, colour: str = "red") -> None:
    """One line on stderr, never folded: ``verdict: what``."""
    console.print(f"[{colour}]{verdict}:[/{colour}] {escape(one_line(str(what)))}", highlight=False, soft_wrap=True)


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            tell(record.levelname.lower(), record.getMessage().strip(), "yellow")
        except Exception:
            self.handleError(record)


def show_warnings() -> None:
    """Tell the person what the library, and Python's ``warnings``, have to say."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a name may be no UTF-8
    warnings.formatwarning = lambda message, category, *_: f"{message} ({category.__name__})"
    logging.captureWarnings(True)
    handler = _Warnings(logging.WARNING)
    for name in ("latentsync", "py.warnings"):
        logging.getLogger(name).addHandler(handler)
