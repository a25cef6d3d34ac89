"""The command `lipsync`."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from configs.loader import load_settings
from flows.cli.options import option, overrides
from flows.cli.weights import weights_app
from latentsync.errors import InputError, LipsyncError, WeightsError
from latentsync.settings import Settings
from tasks.arenas import limit_malloc_arenas

if TYPE_CHECKING:
    from latentsync.publishing.report import Report

app = typer.Typer(
    name="lipsync",
    help="Re-time the lips of a video to a new voice, segment by segment, in constant memory.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)


@app.command()
def sync(
    video: Annotated[str, typer.Argument(help="Video with the speaking face: path or URL")],
    audio: Annotated[str, typer.Argument(help="Voice: sound file, or a video whose sound track is used")],
    output: Annotated[str, typer.Option("--output", "-o", help="File to write, .mp4 or .mkv: path or URL")],
    engine: Annotated[str | None, option("engine", "name", "--engine")] = None,
    weights: Annotated[Path | None, option("engine.latentsync", "weights")] = None,
    steps: Annotated[int | None, option("engine.latentsync", "steps")] = None,
    guidance_scale: Annotated[float | None, option("engine.latentsync", "guidance_scale")] = None,
    seed: Annotated[int | None, option("engine.latentsync", "seed")] = None,
    scheduler: Annotated[str | None, option("engine.latentsync", "scheduler")] = None,
    deepcache: Annotated[int | None, option("engine.latentsync", "deepcache")] = None,
    device: Annotated[str | None, option("engine.latentsync", "device")] = None,
    dtype: Annotated[str | None, option("engine.latentsync", "dtype")] = None,
    fps: Annotated[str | None, option("timing", "fps")] = None,
    if_audio_longer: Annotated[str | None, option("timing", "if_audio_longer")] = None,
    if_video_longer: Annotated[str | None, option("timing", "if_video_longer")] = None,
    tail: Annotated[str | None, option("timing", "tail")] = None,
    face: Annotated[str | None, option("faces", "choice", "--face")] = None,
    segment_seconds: Annotated[float | None, option("segments", "segment_seconds")] = None,
    overlap_frames: Annotated[int | None, option("segments", "overlap_frames")] = None,
    encoder: Annotated[str | None, option("encode", "encoder")] = None,
    crf: Annotated[int | None, option("encode", "crf")] = None,
    preset: Annotated[str | None, option("encode", "preset")] = None,
    disk_profile: Annotated[str | None, option("run", "disk_profile")] = None,
    work_dir: Annotated[str | None, option("run", "work_dir")] = None,
    runner: Annotated[str | None, option("run", "runner")] = None,
    dask_address: Annotated[str | None, option("run", "dask_address")] = None,
    workers: Annotated[int | None, option("run", "workers")] = None,
    cache: Annotated[bool | None, option("run", "cache", "--cache/--no-cache")] = None,
    force_segments: Annotated[str, typer.Option(help="Segments to make again, such as 3,7")] = "",
    config: Annotated[Path | None, typer.Option(help="YAML or JSON file with settings in groups")] = None,
    report_dir: Annotated[str | None, option("run", "report_dir")] = None,
    report: Annotated[Path | None, typer.Option(help="Write report.json here")] = None,
) -> None:
    """Lip-sync VIDEO to AUDIO. Exit code 0: done, 2: bad input, 1: failed."""
    settings = load_settings(
        config,
        overrides(
            engine__name=engine,
            engine__latentsync__weights=weights and weights.expanduser().absolute(),
            engine__latentsync__steps=steps,
            engine__latentsync__guidance_scale=guidance_scale,
            engine__latentsync__seed=seed,
            engine__latentsync__scheduler=scheduler,
            engine__latentsync__deepcache=deepcache,
            engine__latentsync__device=device,
            engine__latentsync__dtype=dtype,
            timing__fps=fps,
            timing__if_audio_longer=if_audio_longer,
            timing__if_video_longer=if_video_longer,
            timing__tail=tail,
            faces__choice=face,
            segments__segment_seconds=segment_seconds,
            segments__overlap_frames=overlap_frames,
            encode__encoder=encoder,
            encode__crf=crf,
            encode__preset=preset,
            run__disk_profile=disk_profile,
            run__work_dir=work_dir and _absolute(work_dir),
            run__runner=runner,
            run__dask_address=dask_address,
            run__workers=workers,
            run__cache=cache,
            run__report_dir=report_dir and _absolute(report_dir),
        ),
    )
    _run(video, audio, output, settings, _indices(force_segments), report)


def _run(video: str, audio: str, output: str, settings: Settings, forced: list[int], report_file: Path | None) -> None:
    from flows.cli.bars import Bars
    from flows.lipsync import lipsync
    from flows.observe.progress import listening
    from latentsync.publishing.report import write_report

    with Bars(console) as bars, listening(bars):
        report = lipsync(_absolute(video), _absolute(audio), _absolute(output), settings, forced)
    if report_file:
        write_report(report, report_file)
    console.print(f"{escape(output)}: {_summary(report)}")


def _summary(report: "Report") -> str:
    return (
        f"{report.frames} frames in {len(report.segments)} segments, {report.seconds:.1f} s "
        f"({report.frames / report.seconds:.0f} frames/s), peak memory {report.peak_rss_mib:.0f} MiB"
    )


def _absolute(location: str) -> str:
    return location if "://" in location else str(Path(location).expanduser().absolute())


def _indices(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError(f"--force-segments {text!r}: give segment numbers such as 3,7") from None


@app.command()
def probe(file: Annotated[Path, typer.Argument(help="Video or sound file")]) -> None:
    """Say what a file is and whether it can be used."""
    from flows.cli.show import show_file

    show_file(file)


@app.command()
def doctor(
    weights: Annotated[Path | None, typer.Option(help="Folder with LatentSync weights to look at")] = None,
    work_dir: Annotated[str | None, option("run", "work_dir")] = None,
) -> None:
    """Check this machine: one line per thing, with a verdict and what to do. Exit code 1 if anything fails."""
    from flows.cli.show import show_findings

    if not show_findings(weights, work_dir or ""):
        raise typer.Exit(1)


@app.command()
def rerun(
    run: Annotated[str, typer.Argument(help="Id or name of a flow run")],
    segments: Annotated[str, typer.Option(help="Segments to make again although they are done, such as 3,7")] = "",
) -> None:
    """Run a flow run again: only what failed, was lost or is named by --segments is redone."""
    from flows.cli.bars import Bars
    from flows.cli.rerun import rerun as run_again
    from flows.observe.progress import listening

    with Bars(console) as bars, listening(bars):
        outcome = run_again(run, _indices(segments))
    console.print(f"queued again as {outcome}" if isinstance(outcome, str) else _summary(outcome))


@app.command()
def worker(
    address: Annotated[str, typer.Argument(help="Dask scheduler, such as tcp://10.0.0.5:8786")],
    gpu: Annotated[int | None, typer.Option(help="Index of the GPU that this worker owns; empty: a CPU worker")] = None,
    cpus: Annotated[
        int | None,
        typer.Option(help="CPU tasks side by side; default: one per core, none with --gpu", min=1),
    ] = None,
    engine: Annotated[str | None, option("engine", "name", "--engine")] = None,
    weights: Annotated[Path | None, option("engine.latentsync", "weights")] = None,
) -> None:
    """Work for a Dask cluster: start one per GPU, and one per machine for its CPUs. Models stay loaded.

    One worker with --gpu 0 --cpus 4 is a whole cluster.
    """
    from flows.cli.worker import start_worker

    warm = (
        load_settings(None, overrides(engine__name=engine, engine__latentsync__weights=weights)).engine
        if engine
        else None
    )
    start_worker(address, gpu, cpus or (0 if gpu is not None else os.cpu_count() or 1), warm)


@app.command()
def bench(
    engine: Annotated[str, option("engine", "name", "--engine")] = "warp",
    weights: Annotated[Path | None, option("engine.latentsync", "weights")] = None,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="No weight files: random ones")] = False,
    windows: Annotated[int, typer.Option(help="Windows of 16 frames to measure", min=2)] = 12,
    steps: Annotated[int | None, option("engine.latentsync", "steps")] = None,
    guidance_scale: Annotated[float | None, option("engine.latentsync", "guidance_scale")] = None,
    scheduler: Annotated[str | None, option("engine.latentsync", "scheduler")] = None,
    deepcache: Annotated[int | None, option("engine.latentsync", "deepcache")] = None,
    device: Annotated[str | None, option("engine.latentsync", "device")] = None,
    dtype: Annotated[str | None, option("engine.latentsync", "dtype")] = None,
    compile: Annotated[bool | None, option("engine.latentsync", "compile", "--compile/--no-compile")] = None,
    windows_per_batch: Annotated[int | None, option("engine.latentsync", "windows_per_batch")] = None,
) -> None:
    """Measure how fast this machine makes faces: frames/s, ms by part, TFLOP/s, GPU memory."""
    from flows.cli.bench import bench as measure

    given = overrides(
        engine__name=engine,
        engine__latentsync__weights=weights,
        engine__latentsync__steps=steps,
        engine__latentsync__guidance_scale=guidance_scale,
        engine__latentsync__scheduler=scheduler,
        engine__latentsync__deepcache=deepcache,
        engine__latentsync__device=device,
        engine__latentsync__dtype=dtype,
        engine__latentsync__compile=compile,
        engine__latentsync__windows_per_batch=windows_per_batch,
    )
    measure(load_settings(None, given).engine, random_weights, windows)


app.add_typer(weights_app, name="weights")


def main() -> None:
    """Run the command; errors that we foresee are told in one line, without a traceback."""
    _quiet_prefect()
    limit_malloc_arenas()
    try:
        app()
    except (InputError, WeightsError) as error:
        _tell("error", error)
        sys.exit(2)
    except LipsyncError as error:
        _tell("failed", error)
        sys.exit(1)
    except Exception as error:
        if not _is_unreachable_server(error):
            raise
        _tell("failed", "Prefect's server does not answer: start it, or unset PREFECT_API_URL to run without one")
        sys.exit(1)


def _is_unreachable_server(error: BaseException) -> bool:
    import httpx  # slow to import, and Prefect has done so

    return isinstance(error, httpx.TransportError) or "Failed to reach API" in str(error)


def _tell(verdict: str, what: object) -> None:
    console.print(f"[red]{verdict}:[/red] {escape(str(what))}", highlight=False, soft_wrap=True)


def _quiet_prefect() -> None:
    """Without a server of the user's own, Prefect works silently in the background."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    logging.captureWarnings(True)


if __name__ == "__main__":
    main()
