"""SIGTERM of a run: of its worker, of its process or of both, and whether the run is given back or not."""

from datetime import UTC, datetime
from uuid import UUID

import psutil

from tasks.leaving import BEHAVIOR
from tests.e2e.installation import Installation
from tests.e2e.ledger import made_by
from tests.e2e.services import flow_process, wait_until

END_SECONDS = 25  # pool-worker gives a run 20
AGAIN_SECONDS = 120  # a crashed run is queued again after 30
HEALED_SECONDS = 180


def sigterm(site: Installation, output: str, told: tuple[str, ...], given_back: bool) -> str:
    """Send SIGTERM while a segment is rendered; the states since then, and what was made twice."""
    environment = {BEHAVIOR: "reschedule" if given_back else ""}
    run = site.submit(site.outputs / output, environment, cache=False, runner="threads", workers=1)
    site.wait_for(run, segment=2)
    processes = {"worker": site.services.process("worker"), "flow": flow_process(run)}
    began = datetime.now(UTC)
    for name in told:
        processes[name].terminate()
    _, alive = psutil.wait_procs([*{processes["flow"], *(processes[name] for name in told)}], END_SECONDS)
    assert not alive, f"{alive} live {END_SECONDS} s after SIGTERM"
    ended = (datetime.now(UTC) - began).total_seconds()
    assert not site.runs.places_taken("lipsync/lipsync"), "the next job would wait for this one's place"
    before = made_by(site.work, run)
    if "worker" in told:
        site.services.stop("worker")
        site.services.pool_worker()
    wait_until(lambda: site.runs.state(run).is_completed(), f"run {run} heals", HEALED_SECONDS, every=0.5)
    after = made_by(site.work, run)
    twice = {task for task in before if after[task] != before[task] and task.startswith("render")}
    assert not twice, f"made twice: {twice}"
    return f"{ended:.1f} s: gone; {_states(site, run, began)}; {_made(before)} segments kept, 0 made twice"


def _states(site: Installation, run: UUID, began: datetime) -> str:
    since = [state for state in site.runs.states(run) if state.timestamp > began]
    return ", ".join(f"{(state.timestamp - began).total_seconds():.1f} s {state.name}" for state in since)


def _made(tasks: dict) -> int:
    return sum(task.startswith("render") for task in tasks)
