"""What a job will take, for those who look at its run: a result as any other, so that a retry finds it."""

from latentsync.forecast.bench_figures import kept_figure
from latentsync.forecast.records import Forecast
from latentsync.job import Job
from tasks.keys import computed_by, sound_part, video_part
from tasks.stages import stage
from tasks.work import Work


def forecast_key(job: Job) -> list[object]:
    """The files by name and content, all settings, and what was measured of the engine here."""
    names = [str(job.video.file.path), str(job.audio.file.path)]
    settings, bench = job.settings.model_dump(mode="json"), kept_figure(job.settings.engine)
    return [names, video_part(job.video), sound_part(job.audio), settings, str(bench), computed_by()]


@stage("forecast", forecast_key, is_needed=False)
def forecast(work: Work, job: Job) -> Forecast:
    """Look at the inputs and try some frames, while nothing else runs; whatever is wrong is for the job to say."""
    from latentsync.forecast.make import forecast_job  # imported where needed: it takes a part of a second

    return forecast_job(job)
