"""`lipsync report`: what runs took, by tag."""

import json as json_text
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from latentsync.errors import InputError
from latentsync.publishing.totals import Total, find_reports, totals_by_tag

Since = Annotated[datetime | None, Parameter(help="Only runs that ended then or later, such as 2026-11-17")]


def report(
    *places: Annotated[Path, Parameter(help="Folders that are searched for reports, or reports; none: this folder")],
    since: Since = None,
    json: Annotated[bool, Parameter(negative="", help="Print it as JSON")] = False,
) -> None:
    """Print a line per tag; a run with two tags counts for both."""
    places = places or (Path(),)
    totals = totals_by_tag(find_reports(places, since and since.astimezone()))
    if not totals:
        found = f"no report of a run in {', '.join(map(str, places))}"
        raise InputError(f"{found}{f' since {since}' if since else ''}; run.sidecar writes one beside each output")
    if json:
        print(json_text.dumps([total.model_dump() for total in totals], indent=2))
        return
    table = Table("tag", "runs", "minutes of output", "hours", "CPU hours", "GPU hours", "price", show_edge=False)
    for total in totals:
        table.add_row(*_row(total))
    Console(soft_wrap=True, highlight=False).print(table)


def _row(total: Total) -> list[str]:
    hours = (total.seconds, total.cpu_seconds, total.gpu_seconds)
    return [
        escape(total.tag),
        str(total.runs),
        f"{total.output_seconds / 60:.1f}",
        *("" if seconds is None else f"{seconds / 3600:.2f}" for seconds in hours),
        "" if total.price is None else f"{total.price:.2f}",
    ]
