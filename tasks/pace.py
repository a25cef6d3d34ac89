"""In which order tasks are submitted, and how far ahead of the workers."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from latentsync.records import Segment
from tasks.run import Run
from tasks.runners import runner_of
from tasks.runners.threads import parallel_tasks

T = TypeVar("T")


def paced(run: Run, parts: Iterable[T]) -> Iterator[T]:
    """Each part when it is time to submit its tasks: few are ahead of it, so that what waits does not grow."""
    ahead = runner_of(run.settings.run).ahead_tasks
    for part in parts:
        run.wait_for_all_but(ahead)
        yield part


def staggered(run: Run, segments: Sequence[Segment], stages: int) -> Iterator[tuple[Segment | None, ...]]:
    """For each of ``stages`` that follow each other: the segment to submit next, so that all workers are busy.

    A task waits in a worker for what it is made from, such as a render for its faces, so it is submitted
    only when as many tasks of the stage before as there are workers are ahead of it. All of it is ``paced``.
    """
    run.check_forced(segments)
    lag = min(max(parallel_tasks(run.settings.run) - 1, 1), len(segments))
    nothing = [None] * lag
    behind = [[*nothing * stage, *segments, *nothing * (stages - 1 - stage)] for stage in range(stages)]
    yield from paced(run, zip(*behind, strict=True))
