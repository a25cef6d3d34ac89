"""The lip-sync flow: the way of the data, as code. No arithmetic and no I/O here."""

from pathlib import Path
from typing import Any, cast

from prefect import flow
from prefect.states import Completed

from flows.observe.logs import set_up_logs
from flows.observe.notify import END_HOOKS
from flows.observe.watch import Watch
from latentsync.engines.registry import is_direct
from latentsync.publishing.report import Report
from latentsync.publishing.sole_writer import sole_writer
from latentsync.segments.part import face_chunks
from latentsync.settings import Settings
from latentsync.storage.locations import shown
from tasks.arenas import bound_malloc
from tasks.finish import join, pictures, publish
from tasks.gate import Gate
from tasks.pace import paced, staggered
from tasks.prepare import find_faces, plan, probe, track, voice
from tasks.reporting import make_report
from tasks.run import Run
from tasks.segments import generate, render
from tasks.stages import later


def run_name(parameters: dict[str, Any]) -> str:
    """A run is called as its output, and by the segments that it makes again on purpose."""
    forced = parameters.get("force_segments")
    again = f" again, segments {','.join(map(str, forced))}" if forced else ""
    return Path(parameters["output"]).stem + again


def _run_name() -> str:
    from prefect.runtime import flow_run

    return run_name(flow_run.parameters)


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
    bound_malloc()
    with Run(settings, force_segments or ()) as run, sole_writer(output, run.workspace, run.id), Watch(run) as watch:
        job = run.wait(probe.submit(video, audio, output, settings))
        watch.foresee(job)

        features = voice.submit(job)
        chunks = face_chunks(job)
        run.expect(find_faces, chunks)
        detections = [find_faces.submit(job, chunk) for chunk in paced(run, chunks)]
        face_track = track.submit(job, [later(faces) for faces in detections])
        job_plan = run.wait_here(plan.submit(job, later(face_track)))

        direct = is_direct(job.settings.engine)
        if not direct:
            run.expect(generate, job_plan.segments)
        run.expect(render, job_plan.output_segments)
        faces, renders = {}, {}  # by segment
        gate = Gate(run, job, job_plan, later(features), faces, renders)
        for segment, ready, rendered in staggered(run, job_plan.segments, stages=3):
            if segment and not direct:
                faces[segment.index] = later(generate.submit(job, job_plan, later(features), segment))
            if ready and job_plan.is_joined(ready):
                if direct:
                    renders[ready.index] = later(render.submit(job, job_plan, ready, voice=later(features)))
                else:
                    before, earlier = job_plan.before(ready), faces.get(ready.index - 1)
                    renders[ready.index] = later(
                        render.submit(job, job_plan, ready, faces[ready.index], before, earlier)
                    )
            if rendered and job_plan.is_joined(rendered):
                gate.look_at(rendered)

        gate.pass_or_retry()
        joined = join.submit(job, job_plan, [*renders.values()])
        publishing = publish.submit(job, later(joined))
        gate.catch_up()
        published = run.wait(publishing)
        if folder := watch.pictures_folder(settings.run.report_dir):
            run.wait(pictures.submit(job, job_plan, later(joined), folder))
        run.wait_for_all()
        gate.tell()
        run.drop_work(generate, render, join)
        report = make_report(run, job, job_plan, published, watch.memory_peaks)
        watch.show(report, folder)
        return cast(Report, Completed(message=f"{shown(published.destination)}: {report.summary}", data=report))
