"""The gate: every segment is scored, and one below the limits is told, generated again, or stops the run."""

import logging
from typing import TypeVar, cast

from latentsync.errors import BelowGate
from latentsync.job import Job, Plan
from latentsync.records import Artefact, Record, Segment
from latentsync.segments.verdict import Score, Verdict, is_better, shortfalls
from tasks.prepare import sound
from tasks.run import Run
from tasks.runners.threads import parallel_tasks
from tasks.segments import generate, render, score
from tasks.stages import later
from tasks.submitted import Submitted

log = logging.getLogger("latentsync.tasks")
R = TypeVar("R", bound=Record)


class Gate:
    """Of one run; ``faces`` and ``renders`` are its results by segment, in which better ones take their place."""

    def __init__(
        self, run: Run, job: Job, plan: Plan, voice: Artefact, faces: dict[int, Artefact], renders: dict[int, Artefact]
    ) -> None:
        self._run, self._job, self._plan, self._voice = run, job, plan, voice
        self._faces, self._renders = faces, renders
        self._scores: dict[int, Score] = {}
        self._segments = {segment.index: segment for segment in plan.output_segments}
        self._limits = job.settings.score
        self._decides = self._limits.gate in ("retry", "fail")
        self._held: list[Segment] = []  # to be scored when the output no longer waits for a worker
        self._sound = later(sound.submit(job)) if job.syncnet else None
        if self._limits.gate != "off":
            run.expect(score, plan.output_segments)

    def look_at(self, segment: Segment) -> None:
        """Score a segment that was submitted to be rendered; unless it decides, the last ones wait for ``catch_up``."""
        if self._limits.gate == "off":
            return
        self._held.append(segment)
        if self._decides or len(self._held) > parallel_tasks(self._job.settings.run):
            self._score_held(1)

    def catch_up(self) -> None:
        """Score the segments that are left, once the output is on its way."""
        self._score_held(len(self._held))

    def pass_or_retry(self) -> None:
        """Wait for what is joined; judge it where that decides. Raises ``BelowGate`` with ``score.gate = fail``."""
        if not self._decides:  # told later: the output does not wait for it
            for rendered in self._renders.values():
                self._run.wait(cast(Submitted[Artefact], rendered))
            return
        self._run.wait_for_all()
        verdicts = self._judge()
        below = {index: verdict.below for index, verdict in verdicts.items() if verdict.below}
        if below and self._limits.gate == "fail":
            raise BelowGate(below)
        if below:
            self._retry(verdicts)

    def tell(self) -> None:
        """Say in the log and in the run's report what was found; waits for scores that nothing has waited for."""
        for index, verdict in (self._run.verdicts or self._judge()).items():
            if verdict.below or verdict.generated_again:
                log.warning("segment %d: %s", index, verdict)

    def _score_held(self, count: int) -> None:
        for segment in self._held[:count]:
            self._scores[segment.index] = self._score(segment, self._renders[segment.index])
        del self._held[:count]

    def _judge(self) -> dict[int, Verdict]:
        self._run.verdicts = {index: self._verdict(found) for index, found in self._scores.items()}
        return self._run.verdicts

    def _retry(self, verdicts: dict[int, Verdict]) -> None:
        """Generate what is below again with other seeds; render what is kept, and those after it that blend with it."""
        changed: set[int] = set()
        for attempt in range(1, self._limits.tries + 1):
            engine = self._job.settings.engine.reseeded(attempt)
            if engine is None:
                log.warning(
                    "engine %s has no seed: generated again, nothing would change", self._job.settings.engine.name
                )
                return
            settings = self._job.settings.model_copy(update={"engine": engine})
            job = self._job.model_copy(update={"settings": settings})
            changed |= self._try(job, attempt, verdicts)
        blended = {index + 1 for index in changed if index + 1 in self._renders}
        for index in sorted(changed | blended):
            self._renders[index] = self._render(self._segments[index], self._faces[index])
        self._run.wait_for_all()

    def _try(self, job: Job, attempt: int, verdicts: dict[int, Verdict]) -> set[int]:
        """One more attempt at all that is still below; the segments that became better."""
        segments = [self._segments[index] for index, verdict in verdicts.items() if verdict.below]
        faces = {each.index: later(generate.submit(job, self._plan, self._voice, each)) for each in segments}
        scores = {each.index: self._score(each, self._render(each, faces[each.index])) for each in segments}
        self._run.wait_for_all()
        better = set()
        for index, found in scores.items():
            old = verdicts[index]
            new = self._verdict(found, attempt, getattr(job.settings.engine.own, "seed", None))
            if is_better(new, old):
                better.add(index)
                self._faces[index] = faces[index]
                verdicts[index] = new
            else:
                verdicts[index] = old.model_copy(update={"generated_again": attempt})
        return better

    def _score(self, segment: Segment, rendered: Artefact) -> Score:
        return later(score.submit(self._job, self._plan, segment, rendered, self._sound))

    def _render(self, segment: Segment, faces: Artefact) -> Artefact:
        before = self._plan.before(segment)
        earlier = self._faces[segment.index - 1] if before else None
        return later(render.submit(self._job, self._plan, segment, faces, before, earlier))

    def _verdict(self, found: Score, attempt: int = 0, seed: int | None = None) -> Verdict:
        value = self._run.wait(cast(Submitted[Score], found))
        return Verdict(score=value, below=shortfalls(value, self._limits), generated_again=attempt, seed=seed)
