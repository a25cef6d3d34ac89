"""Plots of a run, as PNG: does the mouth follow the voice, is memory flat, did every stage progress."""

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latentsync.segments.sync import best_lag
from latentsync.storage.atomic import write_whole


class MemorySample(NamedTuple):
    """Memory of a process tree at a time (or the largest since the sample before)."""

    seconds: float  # since the watch began
    rss_mib: float
    gpu_mib: float


def plot_mouth_vs_voice(loudness: np.ndarray, opening: np.ndarray, fps: Fraction, out: Path) -> None:
    """Loudness of the voice and opening of the mouth per output frame, (N,) each, over time.

    NaN in ``opening`` (no face) leaves a gap. The title gives the correlation and the lag.
    """
    lag, correlation = best_lag(loudness, opening)
    figure = _figure(height_inches=4)
    voice = figure.subplots()
    mouth = voice.twinx()
    seconds = np.arange(len(loudness)) / float(fps)
    voice.fill_between(seconds, loudness, color="tab:blue", alpha=0.35, linewidth=0)
    voice.set(xlabel="time (s)", ylabel="voice: loudness (dB)", xlim=(0, max(len(loudness) / float(fps), 0.1)))
    mouth.plot(seconds[: len(opening)], opening[: len(seconds)], color="tab:red", linewidth=1.2)
    mouth.set_ylabel("mouth: opening", color="tab:red")
    voice.set_title(f"mouth against voice: correlation {correlation:.2f} at lag {lag} (frames)")
    _save(figure, out)


def plot_run(memory: Sequence[MemorySample], progress: Mapping[str, Sequence[tuple[float, float]]], out: Path) -> None:
    """Memory of the process tree, and below it the progress of each stage, over the run's time.

    ``progress`` maps a stage to (seconds since the start, share done in 0..1) in the order of time.
    """
    figure = _figure(height_inches=6)
    above, below = figure.subplots(2, 1, sharex=True)
    seconds = [sample.seconds for sample in memory]
    rss_mib = [sample.rss_mib for sample in memory]
    gpu_mib = [sample.gpu_mib for sample in memory]
    above.plot(seconds, rss_mib, label=f"resident memory, all processes (peak {max(rss_mib, default=0):.0f} MiB)")
    if any(gpu_mib):
        above.plot(seconds, gpu_mib, label=f"GPU memory (peak {max(gpu_mib):.0f} MiB)")
    above.set(ylabel="MiB", ylim=(0, 1.1 * max([1.0, *rss_mib, *gpu_mib])))
    above.legend(loc="lower right")
    for stage, points in progress.items():
        below.plot([at for at, _ in points], [100 * done for _, done in points], marker=".", label=stage)
    below.set(xlabel="time (s)", ylabel="done (%)", ylim=(0, 105), xlim=(0, None))
    if progress:
        below.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, out)


def _figure(height_inches: float) -> Any:
    # The object interface: no pyplot, no global state, no display. Imported here because it is heavy.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, height_inches), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, out: Path) -> None:
    png = io.BytesIO()
    figure.savefig(png, format="png")
    write_whole(out, png.getvalue())
