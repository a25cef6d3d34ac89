"""`lipsync serve`: show the reports in a folder to a browser."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from flows.cli.console import console
from latentsync.errors import InputError


def serve(
    folder: Annotated[Path, Parameter(help="Folder with reports, such as the one given as --report-dir")],
    /,
    *,
    host: Annotated[
        str, Parameter(help="Address to listen at; any other than loopback shows it to the network")
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65535), help="0: any free one")] = 8377,
) -> None:
    """Serve until interrupted."""
    import uvicorn

    from flows.cli.report_server import report_app

    root = folder.expanduser().resolve()
    if not root.is_dir():
        raise InputError(f"{folder}: is no folder; give one with reports")
    console.print(f"http://{host}:{port}/ shows {root} (Ctrl-C ends it)", soft_wrap=True, highlight=False)
    uvicorn.run(report_app(root, host), host=host, port=port, log_level="warning")
