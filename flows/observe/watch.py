"""Everything that looks at a run while it goes on: memory, progress, artifacts."""

import contextlib
import os
from pathlib import Path
from typing import Any, Self

from flows.observe.artifacts import Artifacts, tolerant
from flows.observe.cancelling import CancelWatch
from flows.observe.memory_watch import MemoryWatch
from flows.observe.progress import Following
from latentsync.job import Job
from latentsync.publishing.report import Report, sidecar_of, write_report
from latentsync.review.files import MEMORY
from latentsync.review.plots import plot_run
from tasks.forecast import forecast
from tasks.reporting import MemoryPeaks
from tasks.run import Run

MEMORY_SECONDS = 2.0  # between samples: each costs milliseconds of CPU per process
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # of prometheus_client: the pool-worker that serves the figures sets it
PICTURES = ".pictures"  # in the folder of a run: pictures for the UI, when nobody says where else


class Watch:
    """Context that observes ``run``; whatever it cannot show costs the run nothing."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._memory = MemoryWatch(interval_seconds=MEMORY_SECONDS, doing=run.stages_at_work)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._memory)
        self._artifacts = self._stack.enter_context(Artifacts(self._run))
        listeners = [self._artifacts, CancelWatch(self._run)]
        if os.environ.get(METRICS_FOLDER):
            from flows.observe.metrics import Metrics  # imported when wanted: it decides then where figures go

            listeners.append(self._stack.enter_context(Metrics(self._run, lambda: self.memory_peaks)))
        self._following = self._stack.enter_context(Following(self._run, *listeners))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    @property
    def memory_peaks(self) -> MemoryPeaks:
        """Of this process tree so far."""
        peaks = self._memory
        return MemoryPeaks(peaks.peak_rss_mib, peaks.peak_gpu_mib or None, dict(peaks.peaks_mib))

    def foresee(self, job: Job) -> None:
        """Show first, where somebody looks at the UI, what the job will take; nothing else runs meanwhile.

        Of a part nothing is shown: to look at the whole video takes longer than to make it.
        """
        if self._run.of_deployment and not job.part:
            from flows.observe.forecast import show_forecast  # imported where needed: it takes a part of a second

            if foreseen := self._run.wait_for_unneeded(forecast.submit(job)):
                tolerant(show_forecast, foreseen)

    def show(self, report: Report, folder: Path | None) -> None:
        """Show the report, write it beside the output, if wanted, and its page into ``folder``; lead to that."""
        self._artifacts.add_report(report)
        if self._run.settings.run.sidecar:
            tolerant(write_report, report, sidecar_of(self._run.result_of("probe").output))
        if folder:
            from latentsync.review.page import write_page  # as above

            tolerant(lambda: self._artifacts.add_page(write_page(report, folder)))

    def pictures_folder(self, report_dir: str) -> Path | None:
        """Where pictures of the result go: ``report_dir``, else for the UI of a deployment or a batch, if it is new.

        Writes the plot of memory and progress there.
        """
        folder = Path(report_dir) if report_dir else None
        if folder is None and self._run.is_shown and self._run.made(self._run.submitted["join"]):
            folder = self._run.folder / PICTURES
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            plot = folder / MEMORY
            history = {name: series.samples for name, series in self._following.history.items()}
            plot_run(self._memory.samples, history, plot)
            self._artifacts.add_picture(plot)
        return folder
