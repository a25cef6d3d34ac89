"""The table of a run's segments: failures first, with the reason and the command that redoes them.

It stays small: of a run of thousands of segments it shows what failed, what runs, what took longest, and counts.
"""

from collections import Counter
from collections.abc import Iterable

from flows.observe.markdown import plain
from latentsync.segments.verdict import Score
from tasks.progress import Doing
from tasks.run import Run
from tasks.submitted import Submitted, reason_of

REASONS_MAX = 10  # that are told in full
ROWS_MAX = 60  # of tasks that are done: the rest is counted
COLUMNS = (  # those that all look for first: the last ones lie outside a window of 1280 pixels
    "task", "state", "reason, or score", "frames", "attempts", "seconds", "worker", "peak MiB", "peak GPU MiB",
)  # fmt: skip


def segments_table(run: Run) -> str:
    """Markdown: counts by state, then a row per task of a segment."""
    doing = run.doing()
    items = [item for item in list(run.submitted.values()) if item.segment]
    states = {item.name: _state(run, item, doing) for item in items}
    counts = Counter(states.values())
    failed = [item for item in items if states[item.name] == "Failed"]
    running = [item for item in items if states[item.name] == "Running"]
    ended = [item for item in items if states[item.name] in ("Completed", "Cached")]
    shown = sorted(sorted(ended, key=_seconds, reverse=True)[:ROWS_MAX], key=lambda item: item.name)
    rows = [_row(run, item, states[item.name], doing) for item in [*failed, *running, *shown]]
    lines = [", ".join(f"{count} {state.lower()}" for state, count in sorted(counts.items())) or "no segment yet", ""]
    if failed:
        told = [f"- **{item.name}**: {_reason(item)}" for item in failed[:REASONS_MAX]]  # rows are not wrapped
        lines += [*told, "", f"To redo what failed: `lipsync rerun {run.id}`", ""]
    if len(shown) < len(ended):
        lines += [f"Of {len(ended)} tasks that are done, the {len(shown)} that took longest:", ""]
    return "\n".join([*lines, _line(COLUMNS), _line(["---"] * len(COLUMNS)), *rows])


def _state(run: Run, item: Submitted, doing: dict[str, Doing]) -> str:
    if item.state is None:
        return "Running" if item.name in doing else "Waiting"
    if item.state.is_completed():
        return "Completed" if run.made(item) else "Cached"
    return "Failed" if item.state.is_failed() or item.state.is_crashed() else "Not started"


def _seconds(item: Submitted) -> float:
    return item.result.took.seconds if item.result else 0.0


def _row(run: Run, item: Submitted, state: str, doing: dict[str, Doing]) -> str:
    took = item.result.took if item.result and run.made(item) else None
    segment, task = item.segment, doing.get(item.name)
    reason = _reason(item) if state == "Failed" else plain(task.note if task else _score(run, item))
    return _line(
        [
            item.name,
            state,
            reason,
            f"{segment.start} to {segment.end - 1}" if segment else "",
            took.attempts if took else "",
            took.seconds if took else "",
            took.worker if took else task.worker if task else "",
            took.peak_rss_mib if took else "",
            took.peak_gpu_mib if took and took.peak_gpu_mib is not None else "",
        ]
    )


def _reason(item: Submitted) -> str:
    return plain(" ".join(reason_of(item.error).split())) if item.error else ""


def _score(run: Run, item: Submitted) -> str:
    """What the score says; of the one that counts also what the gate made of it."""
    if not item.result or not isinstance(item.result.value, Score) or item.segment is None:
        return ""
    verdict, score = run.verdicts.get(item.segment.index), item.result.value
    return str(verdict if verdict and verdict.score == score else score)


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
