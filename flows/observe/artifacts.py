"""What people see of a run in Prefect's UI: progress, segments, pictures, and where the output is.

A server that does not answer costs artifacts, never the run.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import quote
from uuid import UUID

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_progress_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.context import FlowRunContext

from flows.observe.left_tasks import end_those_not_begun, end_those_of_earlier_attempts
from flows.observe.markdown import plain
from flows.observe.progress import StageProgress
from flows.observe.segments_table import segments_table
from latentsync.publishing.report import Report
from latentsync.review.embed import data_uri
from tasks.run import Run
from tasks.temporary_server import has_lasting_server

log = logging.getLogger("latentsync.flows.artifacts")

PROGRESS_SECONDS, TABLE_SECONDS = 5.0, 10.0  # between updates, which are sent only when something has changed
PICTURES = "Pictures"  # how their description begins
RATE_SECONDS = 30.0  # frames per second are those of the last half minute
OF_LINKS = "/:%?&=@+,;~"  # characters of a URL that stay; spaces and brackets would end it in Markdown
PATIENCE_SECONDS = 30.0  # after a server that did not answer, before it is asked again


class Artifacts:
    """Listener that keeps a run's artifacts up to date; outside a flow run it shows nothing."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pictures: list[Path] = []
        self._page: Path | None = None
        self._report: Report | None = None
        self._shown: list[_Kept] = []
        self._client: SyncPrefectClient | None = None
        self._ended = False

    def __enter__(self) -> Self:
        if context := FlowRunContext.get():
            self._client = get_client(sync_client=True).__enter__()  # one for all updates: to make one takes 50 ms
            if context.flow_run and context.flow_run.run_count > 1:
                tolerant(end_those_of_earlier_attempts, self._client, UUID(self._run.id))
            if not context.flow_run or {*context.flow_run.tags} != {*self._run.tags}:
                tolerant(self._client.update_flow_run, UUID(self._run.id), tags=self._run.tags)
            # Made here, in the flow's thread: elsewhere they would belong to no run.
            progress = tolerant(create_progress_artifact, 0.0, key="lipsync-progress", description="starting")
            table = tolerant(create_markdown_artifact, "starting", key="lipsync-segments", description=_TABLE)
            self._rate = _Rate()
            self._shown = [
                _Kept(self._client, progress, PROGRESS_SECONDS, self._progress),
                _Kept(self._client, table, TABLE_SECONDS, lambda _: {"data": segments_table(self._run)}),
            ]
        return self

    def __call__(self, stages: dict[str, StageProgress]) -> None:
        """Show how far the stages are, unless nobody can look: a temporary server gets the last state only."""
        if not has_lasting_server():
            return
        for kept in self._shown:
            kept.show(stages)

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._ended = True
        for kept in self._shown:
            kept.finish()
        if self._client:
            if kind and issubclass(kind, Exception) and has_lasting_server():
                tolerant(end_those_not_begun, self._client, self._run.submitted.values())
            self._client.__exit__(None, None, None)
            for publish in (self._show_pictures, self._show_output, self._show_page):
                tolerant(publish)

    def add_picture(self, picture: Path) -> None:
        """Show a picture at the end."""
        self._pictures.append(picture)

    def add_report(self, report: Report) -> None:
        """Show the report, but for its segments, beside the output at the end."""
        self._report = report

    def add_page(self, page: Path) -> None:
        """Lead to a run's page at the end."""
        self._page = page

    def _progress(self, stages: dict[str, StageProgress]) -> dict[str, Any]:
        segments = [stage for name, stage in stages.items() if self._run.tallies[name].stage.per_segment]
        done, total = sum(stage.done for stage in segments), sum(stage.total for stage in segments)
        lines = [f"- {name}: {stage.done} of {stage.total} {stage.note}" for name, stage in stages.items()]
        speed = self._rate.describe(done, total, len(segments)) if segments and not self._ended else ""
        text = "\n".join(filter(None, [speed, *lines])) or "starting"
        return {"data": 100 * done / total if total else 0.0, "description": text}

    def _show_pictures(self) -> None:
        """All in one, and without a key: of what has one, the server keeps a copy as the latest of its key."""
        made = self._run.result_of("pictures")
        if pictures := [*(made.files if made else ()), *self._pictures]:
            titles = [picture.stem.replace("-", " ") for picture in pictures]
            shown = [f"![{title}]({data_uri(picture)})" for title, picture in zip(titles, pictures, strict=True)]
            create_markdown_artifact("\n\n".join(shown), description=f"{PICTURES}: {', '.join(titles)}")

    def _show_output(self) -> None:
        if published := self._run.result_of("publish"):
            output = published.destination
            link = output if "://" in output else Path(output).as_uri()
            lines = [f"[{plain(output)}](<{quote(link, safe=OF_LINKS)}>)"]
            if self._report:
                told = self._report.model_dump_json(indent=2, exclude_none=True, exclude={"segments"})
                lines += ["", "```json", told, "```"]
            create_markdown_artifact("\n".join(lines), "lipsync-output", description=f"Output: {plain(output)}")

    def _show_page(self) -> None:
        if self._page:
            link = _served(self._page, self._run) or self._page.as_uri()
            create_link_artifact(link, link_text="the page", key="lipsync-page", description="Source and result")


def _served(page: Path, run: Run) -> str:
    """The address of a page at ``run.serve_url``, which shows the folder above all runs or above ``report_dir``."""
    folder = run.folder.parent if page.is_relative_to(run.folder) else page.parent.parent
    address = run.settings.run.serve_url.rstrip("/")
    return address and f"{address}/{quote(page.relative_to(folder).as_posix())}"


_TABLE = "Segments: what failed, what runs, what is done"


class _Kept:
    """One artifact, updated at most every ``seconds`` and only when it has changed."""

    def __init__(
        self,
        client: SyncPrefectClient,
        artifact: UUID | None,
        seconds: float,
        describe: Callable[[dict[str, StageProgress]], dict[str, Any]],
    ) -> None:
        self._client, self._artifact, self._seconds, self._describe = client, artifact, seconds, describe
        self._sent: dict[str, Any] = {}
        self._stages: dict[str, StageProgress] = {}
        self._next = time.monotonic() + seconds  # it has just been made

    def show(self, stages: dict[str, StageProgress]) -> None:
        self._stages = stages
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + (self._seconds if self.finish() else PATIENCE_SECONDS)

    def finish(self) -> bool:
        """Send the last state, if it is news; False when the server does not answer."""
        if self._artifact is None:
            return False
        shown = tolerant(self._describe, self._stages)
        if shown in (None, self._sent):
            return True
        if tolerant(self._send, shown):
            self._sent = shown
            return True
        return False

    def _send(self, shown: dict[str, Any]) -> bool:
        self._client.update_artifact(cast(UUID, self._artifact), ArtifactUpdate(**shown))
        return True


class _Rate:
    """Frames per second of the last half minute, and the time left."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque()

    def describe(self, done: int, total: int, stages: int) -> str:
        now = time.monotonic()
        self._samples.append((now, done))
        while now - self._samples[0][0] > RATE_SECONDS:
            self._samples.popleft()
        (began, before), left = self._samples[0], total - done
        rate = (done - before) / (now - began) if now > began else 0.0
        return f"**{rate / stages:.1f} frames/s, {_duration(left / rate)} left**\n" if rate and left else ""


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def tolerant(call: Callable, *args: Any, **kwargs: Any) -> Any:
    """Call; a failure is logged, and is not the run's."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        log.warning("artifact not shown: %s: %s", type(error).__name__, error)
        return None
