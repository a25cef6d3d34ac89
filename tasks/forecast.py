"""What a job will take, for those who look at its run: a result as any other, so that a retry finds it."""

import logging

from latentsync.forecast.bench_figures import kept_figure
from latentsync.forecast.records import Forecast
from latentsync.job import Job
from latentsync.records import Record
from tasks.keys import computed_by, sound_part, video_part
from tasks.stages import stage
from tasks.work import Work

log = logging.getLogger("latentsync.tasks")


class Foreseen(Record):
    """A forecast, or None where there is none; the run goes on either way."""

    forecast: Forecast | None


def forecast_key(job: Job) -> list[object]:
    """The files by name and content, all settings, and what was measured of the engine here."""
    names = [str(job.video.file.path), str(job.audio.file.path)]
    settings, bench = job.settings.model_dump(mode="json"), kept_figure(job.settings.engine)
    return [names, video_part(job.video), sound_part(job.audio), settings, str(bench), computed_by()]


@stage("forecast", forecast_key)
def forecast(work: Work, job: Job) -> Foreseen:
    """Look at the inputs and try some frames, while nothing else runs; whatever is wrong is for the job to say."""
    from latentsync.forecast.make import forecast_job  # imported where needed: it takes a part of a second

    try:
        return Foreseen(forecast=forecast_job(job))
    except Exception as error:  # no job fails because its forecast does
        log.warning("no forecast: %s: %s", type(error).__name__, error)
        return Foreseen(forecast=None)
