"""`lipsync doctor`: is this machine ready?"""

from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from flows.cli.options import with_settings
from latentsync.settings import Settings

MARKS = {"ok": "[green]ok  [/green]", "warn": "[yellow]warn[/yellow]", "fail": "[red]fail[/red]"}


@with_settings("engine.latentsync.weights", "run.work_dir", "run.disk_profile")
def doctor(
    *,
    output: Annotated[str, Parameter(alias="-o", help="Where results are to go, to look at its disk: path")] = "",
    settings: Settings,
) -> int:
    """Print one line per finding; 1 when any failed."""
    from flows.cli.findings import iterate
    from latentsync.storage.workspace import Workspace

    console = Console(highlight=False, soft_wrap=True)
    healthy = True
    work_dir = Workspace.at(settings.run.work_dir).root
    found = iterate(work_dir, settings.engine.latentsync.weights, output, settings.run.disk_profile)
    for finding in found:
        healthy &= finding.verdict != "fail"
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        console.print(f"{MARKS[finding.verdict]} {escape(f'{finding.name}: {finding.detail}{remedy}')}")
    return 0 if healthy else 1
