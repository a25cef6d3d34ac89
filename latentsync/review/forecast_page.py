"""A forecast for people: in rows of words and figures, and as a page with pictures."""

from pathlib import Path

from latentsync.forecast.records import Cost, Forecast
from latentsync.review.html import duration, page, size

Rows = list[tuple[str, str]]
STRETCHES_MAX = 40  # in the table of the page; the bar shows all


def forecast_page(forecast: Forecast) -> str:
    """One HTML file that needs nothing else."""
    return page(
        "forecast.html",
        plan=forecast,
        name=Path(forecast.video).name,
        tables=forecast_tables(forecast),
        seconds=max(forecast.lengths.video_seconds, 0.1),
        rows_max=STRETCHES_MAX,
    )


def forecast_tables(forecast: Forecast) -> list[tuple[str, Rows]]:
    """What a forecast says, as titled tables of (label, value)."""
    tables = [("Lengths", _lengths(forecast)), ("Faces", _faces(forecast)), ("Voice", _voice(forecast))]
    return [("What it takes", _cost(forecast.cost)), *tables] if forecast.cost else tables


def _lengths(forecast: Forecast) -> Rows:
    lengths = forecast.lengths
    return [
        ("output", f"{lengths.frames} frames, {lengths.width}x{lengths.height} at {_rate(lengths.fps)} frames/s"),
        ("video", f"{lengths.video_seconds:.2f} s"),
        ("voice", f"{lengths.voice_seconds:.2f} s"),
        ("so", lengths.policy),
    ]


def _faces(forecast: Forecast) -> Rows:
    faces = forecast.faces
    height = f"{faces.median_px} px (smallest {faces.smallest_px} px)" if faces.median_px else "no face"
    return [
        ("usable face", f"{faces.usable_share:.0%} of {faces.sampled_frames} samples"),
        ("sampled", f"a frame every {faces.interval_seconds:g} s"),
        ("its height", height),
        ("faces seen", str(len(faces.people))),
        ("shot changes", str(faces.shot_changes)),
    ]


def _voice(forecast: Forecast) -> Rows:
    voice = forecast.voice
    return [
        ("silent", f"{voice.silent_share:.0%}, {voice.pauses} pauses"),
        ("level of speech", f"{voice.speech_db:.0f} dB of full scale, peaks {voice.peak_db:.0f} dB"),
        ("clipped", f"{voice.clipped_share:.2%} of the samples"),
        ("under the voice", voice.under_voice),
    ]


def _cost(cost: Cost) -> Rows:
    unknown = "unknown: run lipsync bench with this engine and these settings"
    gpu = unknown if cost.gpu_seconds is None else duration(cost.gpu_seconds) if cost.gpu_seconds else "none"
    stages = ", ".join(f"{stage} {size(taken)}" for stage, taken in cost.stage_bytes.items())
    rows = [
        ("segments", f"{cost.segments}, with {cost.windows} windows of 16 frames"),
        ("GPU", gpu),
        ("CPU, all cores together", duration(cost.cpu_seconds)),
        ("disk", f"{size(cost.work_bytes)} in the workspace ({stages}), {size(cost.output_bytes)} at the output"),
        ("memory", f"{cost.memory_mib} MiB"),
    ]
    if cost.wall_seconds is not None:
        rows.insert(1, ("time on this machine", duration(cost.wall_seconds)))
    if cost.gpu_memory_mib is not None:
        rows.append(("GPU memory", f"{cost.gpu_memory_mib} MiB"))
    if cost.price is not None:
        rows.append(("price of the GPU", f"{cost.price:.2f}"))
    return [*rows, ("measured on", cost.basis)]


def _rate(fps: str) -> str:
    return fps.removesuffix("/1")
