"""The lip-sync flow: the way of the data, as code. No arithmetic and no I/O here."""

from pathlib import Path

from prefect import flow

from flows.observe.artifacts import publishing_artifacts
from flows.observe.logs import set_up_logs
from flows.observe.notify import END_HOOKS
from flows.observe.progress import following, plot_progress
from latentsync.publishing.report import Report
from latentsync.settings import Settings
from tasks.arenas import limit_malloc_arenas
from tasks.finish import join, pictures, publish
from tasks.prepare import face_chunks, find_faces, plan, probe, track, voice
from tasks.reporting import make_report
from tasks.run import Run
from tasks.segments import generate, render


def _run_name() -> str:
    from prefect.runtime import flow_run

    return Path(flow_run.parameters["output"]).stem


@flow(name="lipsync", flow_run_name=_run_name, persist_result=False, **END_HOOKS)
def lipsync(
    video: str,
    audio: str,
    output: str,
    settings: Settings = Settings(),
    force_segments: list[int] | None = None,
) -> Report:
    """Re-time the lips of a video to a voice.

    Args:
        video: Path or URL of the video with the speaking face
        audio: Path or URL of the voice (a sound file, or a video whose sound track is used)
        output: Path or URL of the file to write; an old file stays whole until the new one is complete
        settings: Everything else, in groups
        force_segments: Indices of segments to make again although they are done
    """
    set_up_logs()
    limit_malloc_arenas()
    with Run(settings, force_segments or ()) as run, publishing_artifacts(run), following(run):
        job = run.result(run(probe, video, audio, output, settings))

        voice_features = run(voice, job)
        detections = [run(find_faces, job, *chunk) for chunk in face_chunks(job)]
        face_track = run(track, job, detections)
        job_plan = run.result(run(plan, job, face_track))

        faces, renders = [None], []
        for to_generate, to_render in run.staggered(job_plan):
            if to_generate:
                faces.append(run(generate, job, job_plan, voice_features, to_generate))
            if to_render:
                previous, own = faces[to_render.index], faces[to_render.index + 1]
                renders.append(run(render, job, job_plan, to_render, own, previous))

        joined = run(join, job, run.results(renders))
        run.result(run(publish, job, joined))
        if run.report_dir:
            run.result(run(pictures, job, job_plan, joined, run.report_dir))
            plot_progress(run, run.report_dir)
        return make_report(run, job, job_plan)
