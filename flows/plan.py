"""The plan flow: what a job will show and take, before it is made."""

from prefect import flow
from prefect.states import Completed, Failed, State

from flows.observe.forecast import show_forecast
from latentsync.forecast.make import forecast
from latentsync.forecast.records import Forecast
from latentsync.settings import Settings


@flow(name="lipsync-plan", persist_result=False)
def lipsync_plan(video: str, audio: str, settings: Settings = Settings()) -> State[Forecast]:
    """Say what a job will take and whether it can succeed. The run fails, with the reason, when it cannot.

    Args:
        video: Path or URL of the video with the speaking face
        audio: Path or URL of the voice (a sound file, or a video whose sound track is used)
        settings: Those of the job, in groups
    """
    found = forecast(video, audio, settings)
    show_forecast(found)
    return Failed(message="; ".join(found.problems)) if found.problems else Completed(data=found)
