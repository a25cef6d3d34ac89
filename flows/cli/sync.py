"""`lipsync sync`: one job, here and now."""

from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape

from flows.cli.console import console
from flows.cli.options import with_settings
from flows.cli.running import flow_runs, segment_numbers
from latentsync.errors import one_line
from latentsync.settings import Settings
from latentsync.storage.locations import normalised, shown


@with_settings()
def sync(
    video: Annotated[str, Parameter(help="Video with the speaking face: path or URL")],
    audio: Annotated[str, Parameter(help="Voice: sound file, or a video whose sound track is used")],
    /,
    *,
    output: Annotated[str, Parameter(alias="-o", help="File to write, .mp4 or .mkv: path or URL")],
    force_segments: Annotated[str, Parameter(help="Segments to make again, such as 3,7")] = "",
    report: Annotated[str, Parameter(help="Write report.json here: path or URL")] = "",
    settings: Settings,
) -> None:
    """Run the flow, write the report, print a summary."""
    forced = segment_numbers("--force-segments", force_segments)
    places = normalised(video), normalised(audio), normalised(output)

    from tasks.refusals import refuse_at_once, refuse_bad_report

    refuse_at_once(*places, settings)
    if report:
        refuse_bad_report(normalised(report), *places)
    with flow_runs() as ready:
        from flows.lipsync import lipsync
        from latentsync.publishing.report import write_report
        from tasks.warm import warm_up

        warm_up(settings, *places[:2])
        ready()
        made = lipsync(*places, settings, forced)
    if report:
        write_report(made, report)
    console.print(f"{escape(one_line(shown(output)))}: {made.summary}", soft_wrap=True)
