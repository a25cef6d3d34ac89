"""A forecast as an artifact in Prefect's UI."""

from prefect.artifacts import create_markdown_artifact

from flows.observe.markdown import plain
from latentsync.forecast.records import Forecast
from latentsync.review.forecast_page import forecast_tables
from latentsync.storage.locations import shown


def show_forecast(forecast: Forecast) -> None:
    """Show it with the run that is going on."""
    create_markdown_artifact(forecast_markdown(forecast), "lipsync-plan", description="What this job will take")


def forecast_markdown(forecast: Forecast) -> str:
    """The tables, the faces with their pictures, and what to beware of."""
    parts = [f"**This job cannot succeed:** {plain(shown(problem))}" for problem in forecast.problems]
    parts += [f"**Note:** {plain(shown(warning))}" for warning in forecast.warnings]
    for title, rows in forecast_tables(forecast):
        lines = [f"| {title} | |", "|---|---|", *(f"| {label} | {plain(shown(value))} |" for label, value in rows)]
        parts.append("\n".join(lines))
    for person in forecast.faces.people:
        verdict = "speaks" if person.chosen_share else "is silent"
        parts.append(f"![a face]({person.thumbnail}) {person.width_px}x{person.height_px} px, {verdict}: {person.why}")
    return "\n\n".join(parts)
