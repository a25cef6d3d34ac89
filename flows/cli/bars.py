"""Live progress bars, one per stage."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from flows.observe.progress import StageProgress


class Bars:
    """A listener for ``flows.observe.progress``: shows a bar per stage on stderr while it is entered."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def __call__(self, stages: dict[str, StageProgress]) -> None:
        """Show how far the stages are."""
        for name, stage in stages.items():
            if not stage.total:
                continue
            if name not in self._bars:
                self._bars[name] = self._progress.add_task(name, total=stage.total, note="")
            self._progress.update(self._bars[name], completed=stage.done, total=stage.total, note=stage.note)
            if stage.done == stage.total:
                self._progress.stop_task(self._bars[name])
