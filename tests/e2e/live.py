"""`make e2e`: a whole installation on this machine, tried through its API and by killing its parts.

Starts a Prefect server, a process worker and a Dask cluster, deploys ``deployments/prefect.yaml``, runs
jobs, and stops everything that it started. Ends with a table; exit code 1 when anything was not as promised.
"""

import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from psutil import Process
from rich.console import Console
from rich.table import Table

from tests.e2e.installation import CPU_WORKERS, SEGMENTS, Installation
from tests.e2e.ledger import made_by
from tests.e2e.media import decoded_digest
from tests.e2e.night import killed_batch
from tests.e2e.services import BIN, answers, ffmpegs_about, flow_process, free_port, kill, wait_until
from tests.e2e.sigterm import sigterm
from tests.e2e.watching import watch

CANCEL_SECONDS = 15
CRON_SECONDS = 240  # due within one minute; the scheduler looks once a minute, the worker every 15 s
REPORT_SECONDS = 10  # a worker says a second time that a process died, and ends a retry that is sooner
HOLD_SECONDS = 2.0
HOLD = f"""
import time
from latentsync.engines.gpu_queue import gpu_place
with gpu_place(["gpu-of-make-e2e"], 1, lambda: None):
    began = time.monotonic()
    time.sleep({HOLD_SECONDS})
    print(began, time.monotonic())
"""

EXPENSIVE = ("forecast", "voice", "faces", "track", "render", "join")
console = Console(width=150, highlight=False)


def cold_job(site: Installation) -> str:
    """a job on workers that have just started"""
    run = site.submit(site.outputs / "cold.mp4")
    seconds = site.runs.finish(run)
    assert site.runs.made(run, "render") == {f"render-{number:03d}" for number in range(SEGMENTS)}
    workers = {took["worker"] for took in made_by(site.work, run).values()}
    assert not any("gpu" in worker for worker in workers), f"CPU tasks went to {workers}"
    return f"{seconds:.1f} s; no CPU task went to the GPU worker"


def warm_job(site: Installation) -> str:
    """the same work again on warm workers: no engine is loaded twice"""
    names = (*CPU_WORKERS, "gpu-0")
    before = {name: site.loads(name) for name in names}
    run = site.submit(site.outputs / "warm.mp4", cache=False)
    seconds = site.runs.finish(run)
    assert len(site.runs.made(run, *EXPENSIVE)) == SEGMENTS + 5, f"cached: {site.runs.tasks(run)}"
    after = {name: site.loads(name) for name in names}
    assert after == dict.fromkeys(names, 1), f"engines loaded: {before}, then {after}"
    same(site, "warm.mp4")
    return f"{seconds:.1f} s; each worker has loaded its engine once"


def cached_job(site: Installation) -> str:
    """the same job a third time does nothing expensive"""
    run = site.submit(site.outputs / "cached.mp4")
    seconds = site.runs.finish(run)
    assert not site.runs.made(run, *EXPENSIVE), site.runs.tasks(run)
    same(site, "cached.mp4")
    return f"{seconds:.1f} s; every expensive task Cached"


def killed_dask_worker(site: Installation) -> str:
    """kill -9 of a Dask worker in the middle of a segment"""
    pids = site.dask_pids()
    run = site.submit(site.outputs / "killed.mp4", cache=False)
    site.wait_for(run, segment=1)
    victim = site.dask_busy("render")
    kill(Process(victim))
    seconds = site.runs.finish(run)
    same(site, "killed.mp4")
    wait_until(lambda: len(site.dask_pids()) == len(pids), "the nanny has restarted the worker")
    assert victim not in site.dask_pids().values()
    return f"run Completed after {seconds:.1f} s, same frames; the worker is back"


def failed_segment(site: Installation) -> str:
    """one segment of a run without the cache fails for good; Retry makes only that one, and what waited for it"""
    segment = SEGMENTS // 2
    name = f"render-{segment:03d}"
    obstacle = site.clip_of(segment)
    obstacle.unlink()
    (obstacle / "in the way").mkdir(parents=True)  # the clip cannot get its name
    run = site.submit(site.outputs / "failed.mp4", cache=False)
    state = site.runs.wait(run)
    assert state.is_failed(), state
    assert f"1 tasks failed, what is done is kept: {name}" in str(state.message), state.message
    assert not (site.outputs / "failed.mp4").exists()
    (obstacle / "in the way").rmdir()
    obstacle.rmdir()
    before = made_by(site.work, run)
    site.runs.retry(run)
    wait_until(lambda: site.runs.state(run).is_completed(), "the retried run is completed", every=0.5)
    same(site, "failed.mp4")
    made = made_since(before, site, run)
    assert made == {name, "join"}, made
    return f"Failed, naming {name}; Retry made {', '.join(sorted(made))}"


def forced_segments(site: Installation) -> str:
    """`lipsync rerun RUN --segments 1,4` makes these and no others"""
    run = site.submit(site.outputs / "forced.mp4")
    site.runs.finish(run)
    said = site.services.run(BIN / "lipsync", "rerun", str(run), "--segments", "1,4")
    again = site.runs.named(said.partition("runs again as ")[2].splitlines()[0])
    site.runs.finish(again)
    made = site.runs.made(again, *EXPENSIVE)
    assert made == {"render-001", "render-004"}, made
    same(site, "forced.mp4")
    return f"made {', '.join(sorted(made))}"


def cancelled(site: Installation, runner: str) -> str:
    """Cancel from the UI"""
    output = site.outputs / f"cancelled-{runner}.mp4"
    output.write_text("old")
    run = site.submit(output, cache=False, runner=runner)
    site.wait_for(run, segment=0)
    began = time.monotonic()
    site.runs.cancel(run)
    wait_until(lambda: not [*ffmpegs_about(site.folder), *site.temporary_files()], "all is gone", CANCEL_SECONDS)
    gone = time.monotonic() - began
    wait_until(lambda: site.runs.state(run).is_final(), "the run has ended", 2 * CANCEL_SECONDS)
    assert site.runs.state(run).is_cancelled(), site.runs.state(run)
    assert output.read_text() == "old"
    told = time.monotonic() - began
    return (
        f"{runner}: ffmpeg and temporary files gone in {gone:.1f} s, Cancelled in {told:.1f} s, destination as it was"
    )


def killed_flow(site: Installation) -> str:
    """kill -9 of the flow's process; Retry makes only what was lost"""
    run = site.submit(site.outputs / "crashed.mp4", cache=False, runner="threads", workers=1)
    site.wait_for(run, segment=3)
    kill(flow_process(run))
    before = made_by(site.work, run)
    crashed = wait_until(lambda: site.runs.state(run).is_crashed(), "the run is Crashed", every=0.5)
    time.sleep(REPORT_SECONDS)
    site.runs.retry(run)
    wait_until(lambda: site.runs.state(run).is_completed(), "the retried run is completed", every=0.5)
    same(site, "crashed.mp4")
    made = made_since(before, site, run)
    lost = {f"render-{number:03d}" for number in range(SEGMENTS)} - {*before}
    assert made == lost | {"join"}, f"before: {before}, made: {made}"
    return f"Crashed after {crashed:.1f} s; Retry made {', '.join(sorted(made))}"


def killed_server(site: Installation) -> str:
    """kill -9 of the Prefect server during a job; it is started again"""
    run = site.submit(site.outputs / "server.mp4", cache=False)
    site.wait_for(run, segment=0)
    kill(site.services.process("server"))
    site.services.stop("server")
    site.services.server()
    state = site.runs.wait(run)
    if not state.is_completed():
        site.runs.retry(run)
        wait_until(lambda: site.runs.state(run).is_completed(), "the retried run is completed", every=0.5)
    same(site, "server.mp4")
    return f"the run ended {state.name}" + ("" if state.is_completed() else ", and Completed after Retry")


def two_jobs_on_one_gpu(_site: Installation) -> str:
    """two processes want the one place of a GPU"""
    jobs = [subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    (_, end), (start, _) = sorted([float(time) for time in job.communicate()[0].split()] for job in jobs)
    assert start >= end, "both had it at once"
    return f"the second had it {start - end:.2f} s after the first"


def cron_schedule(site: Installation) -> str:
    """a cron schedule creates a run, and the worker executes it"""
    deployment = site.runs.schedule("sweep/sweep", "* * * * *", work_dir=str(site.work))
    began = time.monotonic()

    def done() -> bool:
        return any(run.state and run.state.is_completed() for run in site.runs.due(deployment))

    wait_until(lambda: site.runs.due(deployment), "the schedule has created runs", CRON_SECONDS, every=0.5)
    created = time.monotonic() - began
    wait_until(done, "a scheduled run is completed", CRON_SECONDS, every=0.5)
    return f"created after {created:.1f} s, completed after {time.monotonic() - began:.1f} s"


def made_since(before: dict[str, dict[str, Any]], site: Installation, run: UUID) -> set[str]:
    """Expensive tasks that a run has made since; of what it had made, a Retry only looks up the record."""
    after = made_by(site.work, run)
    return {task for task in after if after[task] != before.get(task) and task.split("-")[0] in EXPENSIVE}


def same(site: Installation, name: str) -> None:
    """The file holds the same frames and sound, at the same times, as that of the first job."""
    assert decoded_digest(site.outputs / name) == decoded_digest(site.outputs / "cold.mp4"), f"{name} differs"


def watched(site: Installation) -> str:
    """one click from a run in the UI leads to its page, which a browser plays"""
    port = free_port()
    run = site.submit(site.outputs / "watched.mp4", cache=False, serve_url=f"http://127.0.0.1:{port}")
    site.runs.finish(run)
    site.services.start("serve", BIN / "lipsync", "serve", site.work / "runs", "--port", port)
    wait_until(lambda: answers(f"http://127.0.0.1:{port}/"), "lipsync serve answers")
    return watch(site.runs.link(run, "lipsync-page"))


SCENES: dict[str, Callable[[Installation], str]] = {
    "cold job": cold_job,
    "warm job": warm_job,
    "cached job": cached_job,
    "kill -9 a Dask worker": killed_dask_worker,
    "failed segment, Retry": failed_segment,
    "forced segments": forced_segments,
    "cancel on Dask": partial(cancelled, runner="dask"),
    "cancel in threads": partial(cancelled, runner="threads"),
    "kill -9 the flow": killed_flow,
    "SIGTERM the worker": partial(sigterm, output="worker.mp4", told=("worker",), given_back=True),
    "SIGTERM the flow": partial(sigterm, output="flow.mp4", told=("flow",), given_back=True),
    "SIGTERM both": partial(sigterm, output="both.mp4", told=("worker", "flow"), given_back=True),
    "SIGTERM the worker, not given back": partial(sigterm, output="worker-2.mp4", told=("worker",), given_back=False),
    "SIGTERM the flow, not given back": partial(sigterm, output="flow-2.mp4", told=("flow",), given_back=False),
    "SIGTERM both, not given back": partial(sigterm, output="both-2.mp4", told=("worker", "flow"), given_back=False),
    "kill -9 a batch": killed_batch,
    "kill -9 the server": killed_server,
    "one GPU, two jobs": two_jobs_on_one_gpu,
    "cron": cron_schedule,
    "watch the result": watched,
}


def play(site: Installation, name: str) -> tuple[str, str, str]:
    """(name, verdict, what was seen) of one scene."""
    began = time.monotonic()
    try:
        verdict, seen = "ok", SCENES[name](site)
    except Exception as error:
        traceback.print_exc()
        verdict, seen = "FAILED", f"{type(error).__name__}: {error}"
    console.print(f"{verdict:6} {name} ({time.monotonic() - began:.0f} s): {seen}", soft_wrap=True)
    return name, verdict, seen


def main(names: list[str]) -> bool:
    """Play the named scenes (none: all), print the table; True when all went well."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lipsync-e2e-") as folder, Installation(Path(folder)) as site:
        console.print(f"started server, worker and cluster in {time.monotonic() - began:.0f} s")
        rows = [play(site, name) for name in names or SCENES]
    table = Table("scene", "", "seen", title=f"make e2e: {time.monotonic() - began:.0f} s")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    return all(verdict == "ok" for _, verdict, _ in rows)


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
