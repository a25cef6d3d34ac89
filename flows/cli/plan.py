"""`lipsync plan`: what a job will show and take, before it is made."""

from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.cli.options import with_settings
from latentsync.errors import InputError, one_line
from latentsync.settings import Settings


@with_settings()
def plan(
    video: Annotated[str, Parameter(help="Video with the speaking face: path or URL")],
    audio: Annotated[str, Parameter(help="Voice: sound file, or a video whose sound track is used")],
    /,
    *,
    json: Annotated[bool, Parameter(negative="", help="Print it as JSON")] = False,
    page: Annotated[str, Parameter(help="Write it as an HTML page with pictures, such as plan.html: path or URL")] = "",
    settings: Settings,
) -> None:
    """Look at the inputs now and then, try some frames, print what the job will take."""
    from latentsync.forecast.make import forecast
    from latentsync.forecast.records import Forecast
    from latentsync.review.forecast_page import forecast_page, forecast_tables
    from latentsync.storage.fs import write_text
    from latentsync.storage.locations import normalised
    from tasks.refusals import refuse_bad_page

    def show(found: Forecast) -> None:
        console = Console(soft_wrap=True, highlight=False)
        for title, rows in forecast_tables(found):
            table = Table(title, "", show_edge=False, pad_edge=False)
            for row in rows:
                table.add_row(*map(escape, row))
            console.print(table, "")
        for person in found.faces.people:
            verdict = "speaks" if person.chosen_share else "is silent"
            console.print(f"face of {person.width_px}x{person.height_px} px {verdict}: {escape(person.why)}")
        for warning in found.warnings:
            console.print(f"[yellow]note:[/yellow] {escape(one_line(warning))}")

    if page:
        refuse_bad_page(normalised(page), normalised(video), normalised(audio))
    made = forecast(video, audio, settings)
    if page:
        write_text(forecast_page(made), page)
    if json:
        print(made.model_dump_json(indent=2))
    else:
        show(made)
    if made.problems:
        raise InputError("; ".join(made.problems))
