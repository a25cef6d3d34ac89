"""What people see of a run in Prefect's UI: progress, segments, pictures, and where the output is."""

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
)
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.context import FlowRunContext

from flows.observe.progress import StageProgress, listener, listening
from latentsync.review.embed import data_uri
from tasks.run import Run, Submitted
from tasks.steps import Step

log = logging.getLogger("latentsync.flows.artifacts")

UPDATE_SECONDS = 2.0
TABLE_SECONDS = 10.0
RATE_SECONDS = 30.0  # frames per second are those of the last half minute
PATIENCE_SECONDS = 30.0  # after a server that did not answer, before it is asked again
PER_SEGMENT = ("generate", "render")


@contextmanager
def publishing_artifacts(run: Run) -> Iterator[None]:
    """Keep the run's artifacts up to date; those of its end appear also when it fails.

    Use it around ``following(run)``. Outside a flow run it does nothing. A server that does not
    answer costs artifacts, never the run.
    """
    if FlowRunContext.get() is None:
        yield
        return
    others = listener.get()

    def hear(stages: dict[str, StageProgress]) -> None:
        if others:
            others(stages)
        progress(stages)
        table()

    with get_client(sync_client=True) as client:  # one for all updates: to make one takes 50 ms
        progress, table = _ProgressArtifact(client), _SegmentsArtifact(client, run)
        try:
            with listening(hear):
                yield
        finally:
            for publish in (progress.finish, table.finish, _pictures, _output):
                _tolerant(publish, run)


class _ProgressArtifact:
    """A listener that shows percent, frames per second and time left."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client = client
        self._artifact = _tolerant(create_progress_artifact, 0.0, key="lipsync-progress", description="starting")
        self._samples: deque[tuple[float, float]] = deque()
        self._next = 0.0
        self._shown = (0.0, "starting")

    def __call__(self, stages: dict[str, StageProgress]) -> None:
        """Show how far the stages are, at most every two seconds."""
        now = time.monotonic()
        done, total = (sum(getattr(stages[name], field) for name in PER_SEGMENT) for field in ("done", "total"))
        self._samples.append((now, done))
        while now - self._samples[0][0] > RATE_SECONDS:
            self._samples.popleft()
        self._shown = (100 * done / total if total else 0.0, self._describe(stages, total - done))
        if now >= self._next:
            self._next = now + (UPDATE_SECONDS if self._update() else PATIENCE_SECONDS)

    def finish(self, _run: Run) -> None:
        """Show the last state."""
        self._update()

    def _update(self) -> bool:
        if self._artifact is None:
            return False
        percent, text = self._shown
        return bool(_tolerant(self._send, self._artifact, ArtifactUpdate(data=percent, description=text)))

    def _send(self, artifact: UUID, update: ArtifactUpdate) -> bool:
        self._client.update_artifact(artifact, update)
        return True

    def _describe(self, stages: dict[str, StageProgress], left: int) -> str:
        (began, before), (now, done) = self._samples[0], self._samples[-1]
        rate = (done - before) / (now - began) if now > began else 0.0
        lines = [
            f"- {name}: {stage.done} of {stage.total} {stage.note}" for name, stage in stages.items() if stage.total
        ]
        speed = f"**{rate / len(PER_SEGMENT):.1f} frames/s, {_duration(left / rate)} left**\n" if rate and left else ""
        return "\n".join(filter(None, [speed, *lines])) or "starting"


class _SegmentsArtifact:
    """Table of segments: what was done to each, where, and what it took; kept up to date."""

    def __init__(self, client: SyncPrefectClient, run: Run) -> None:
        self._client, self._run = client, run
        self._artifact: UUID | None = None
        self._next = 0.0

    def __call__(self) -> None:
        """Show where the segments are, at most every ten seconds."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + TABLE_SECONDS
            _tolerant(self.finish, self._run)

    def finish(self, run: Run) -> None:
        """Show the last state."""
        rows = _rows(run)
        if self._artifact:
            self._client.update_artifact(self._artifact, ArtifactUpdate(data=json.dumps(rows)))
        elif rows:
            title = "Segments, and what this run did to them"
            self._artifact = cast(UUID, create_table_artifact(rows, key="lipsync-segments", description=title))


def _rows(run: Run) -> list[dict[str, Any]]:
    """A row for every segment that was submitted, and each of its two stages."""
    steps, rows, start = run.steps(), [], 0
    for item in [item for item in list(run.submitted.values()) if item.stage == "generate"]:
        number = item.name.removeprefix("generate-")
        segment = {"segment": int(number), "frames": f"{start} to {start + item.frames - 1}"}
        for stage in PER_SEGMENT:
            name = f"{stage}-{number}"
            rows.append({**segment, "stage": stage, **_told(run.submitted.get(name), steps.get(name))})
        start += item.frames
    return rows


def _told(item: Submitted | None, step: Step | None) -> dict[str, Any]:
    """One task in words; a cached one has cost nothing in this run."""
    if item is None or not item.done:
        return _columns("Running" if step and not step.ended else "Not started", step)
    state = item.state
    if state.name == "NotReady":  # what it needs has failed
        return _columns("Not started", None)
    failed = state.is_failed() or state.is_crashed()
    return _columns(state.name or "", None if item.cached else step, state.message if failed else "")


def _columns(state: str, step: Step | None, reason: str | None = "") -> dict[str, Any]:
    return {
        "state": state,
        "cache hit": "yes" if state == "Cached" else "no",
        "attempts": step.attempt if step else 0,
        "seconds": round((step.ended or time.time()) - step.began, 1) if step else 0,
        "worker": step.worker if step else "",
        "peak MiB": getattr(step, "peak_rss_mib", ""),
        "peak GPU MiB": getattr(step, "peak_gpu_mib", ""),
        "reason": reason or "",
    }


def _pictures(run: Run) -> None:
    """Every picture that this run wrote into its report folder."""
    for picture in sorted(run.report_dir.glob("*.png")) if run.report_dir else []:
        if picture.stat().st_mtime >= run.began:
            title = picture.stem.replace("-", " ")
            create_markdown_artifact(f"![{title}]({data_uri(picture)})", f"lipsync-{picture.stem}", description=title)


def _output(run: Run) -> None:
    """Where the finished file is."""
    item = run.submitted.get("publish")
    if item and item.completed:
        output = item.future.result().destination
        link = output if "://" in output else Path(output).as_uri()
        create_link_artifact(link, link_text=output, key="lipsync-output", description=f"Output: {output}")


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def _tolerant(call: Callable, *args: Any, **kwargs: Any) -> Any:
    """Call; a failure is logged, and is not the run's."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        log.warning("artifact not shown: %s: %s", type(error).__name__, error)
        return None
