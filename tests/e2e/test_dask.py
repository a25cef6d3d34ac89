"""The flow on a real Dask cluster: a scheduler, a CPU worker and a GPU worker, as `lipsync worker` starts them."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client
from prefect import flow, task
from prefect.settings import PREFECT_API_URL

from latentsync.errors import TransientError
from latentsync.settings import RunSettings
from latentsync.stitching.verify import verify
from tasks.progress import read_progress
from tasks.runners import runner_of
from tests.conftest import Clip
from tests.e2e.jobs import made, run
from tests.e2e.services import Services, kill, wait_until
from tests.unit.engines.diffusion.weights_on_disk import write_tiny_weights
from tests.unit.stitching.signers import make_signer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

SHORT, WARP = {"segment_seconds": 1}, {"name": "warp"}  # an engine that workers know


@pytest.fixture(scope="module")
def services(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("services")) as services:
        services.environment["PREFECT_API_URL"] = str(PREFECT_API_URL.value())
        yield services


@pytest.fixture(scope="module")
def scheduler(services: Services) -> str:
    address = services.scheduler()
    services.dask_worker("cpu", address, "--cpus", "1")
    services.dask_worker("gpu", address, "--gpu", "0", "--engine", "warp")  # it need not be there for this
    wait_until(lambda: len(_pids(address)) == 2, "both workers have come")
    return address


def _pids(address: str) -> dict[str, int]:
    """Kind of each worker -> its process."""
    with Client(address, set_as_default=False) as client:
        pids, workers = client.run(os.getpid), client.scheduler_info(n_workers=-1)["workers"]
    return {next(iter(workers[worker]["resources"])): pid for worker, pid in pids.items() if worker in workers}


@pytest.fixture(scope="module")
def of_threads(prefect_server: None, short_clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The output of the same job in this process."""
    folder = tmp_path_factory.mktemp("threads")
    run(short_clip, folder, folder / "out.mp4", engine=WARP, segments=SHORT)
    return (folder / "out.mp4").read_bytes()


def test_the_output_is_that_of_threads(
    scheduler: str, services: Services, short_clip: Clip, of_threads: bytes, tmp_path: Path
) -> None:
    on_dask = {"runner": "dask", "dask_address": scheduler}
    dask = run(short_clip, tmp_path / "dask", tmp_path / "dask.mp4", engine=WARP, segments=SHORT, run=on_dask)
    assert made(dask, "render") == [segment.index for segment in dask.segments]
    assert (tmp_path / "dask.mp4").read_bytes() == of_threads
    of_renders = [segment.tasks["render"].cpu_seconds for segment in dask.segments]
    assert dask.cpu_seconds
    assert dask.cpu_seconds > sum(seconds or 0 for seconds in of_renders) > 0

    again = run(
        short_clip, tmp_path / "dask", tmp_path / "again.mp4", engine=WARP, segments=SHORT, run=on_dask, force=[1]
    )
    assert made(again, "render") == [1]
    loads = [services.log(name).read_text().count("loading engine") for name in ("cpu", "gpu")]
    assert loads == [1, 1]  # the engine stays from job to job


def test_the_gate_and_the_signature_are_of_a_cluster_too(scheduler: str, short_clip: Clip, tmp_path: Path) -> None:
    signer, weights = make_signer(tmp_path / "signer"), write_tiny_weights(tmp_path / "weights")
    own = {"weights": str(weights), "device": "cpu", "steps": 1}
    report = run(
        short_clip,
        tmp_path / "work",
        tmp_path / "out.mp4",
        engine={"name": "latentsync", "latentsync": own},
        segments={"segment_seconds": 1.6},
        score={"gate": "retry", "tries": 1, "max_jitter": 0.001, "max_flicker": 0.001},  # nothing passes
        mark={"certificate": str(signer.certificate), "key": str(signer.key)},
        run={"runner": "dask", "dask_address": scheduler},
    )
    verdicts = [segment.verdict for segment in report.segments]
    assert len(verdicts) > 1
    assert all(verdict and verdict.below and verdict.generated_again == 1 for verdict in verdicts)
    signed = verify(tmp_path / "out.mp4").credentials
    assert signed
    assert (signed.state, signed.signer) == ("Valid", "Test signer, Test studio")


def test_tasks_go_where_their_resources_are(scheduler: str) -> None:
    settings = RunSettings(runner="dask", dask_address=scheduler)

    @task
    def gpu_of_worker(_number: int) -> str | None:
        return os.environ.get("CUDA_VISIBLE_DEVICES")

    @flow
    def both_kinds() -> dict[str, set[str | None]]:
        seen = {}
        place = runner_of(settings)
        with place.start() as runner:
            for kind in ("GPU", "CPU"):
                futures = [place.submit(runner, gpu_of_worker, {"_number": number}, kind) for number in range(4)]
                seen[kind] = {future.result() for future in futures}
        return seen

    assert both_kinds() == {"GPU": {"0"}, "CPU": {os.environ.get("CUDA_VISIBLE_DEVICES")}}


def test_a_gpu_worker_with_cpus_is_a_whole_cluster(services: Services) -> None:
    address = services.scheduler("lone-scheduler")
    settings = RunSettings(runner="dask", dask_address=address)
    both = {"CPU", "GPU"}
    assert runner_of(settings).missing(both) == both
    services.dask_worker("lone", address, "--gpu", "0", "--cpus", "2")
    wait_until(lambda: runner_of(settings).missing(both) == set(), "it offers both")


def test_a_scheduler_that_does_not_answer_is_told(short_clip: Clip, tmp_path: Path) -> None:
    nobody = {"runner": "dask", "dask_address": "tcp://127.0.0.1:9"}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(TransientError, match=r"the Dask scheduler at tcp://127\.0\.0\.1:9 does not answer"),
    ):
        run(short_clip, tmp_path, tmp_path / "out.mp4", run=nobody)


def test_a_worker_killed_in_a_segment_loses_nothing(
    scheduler: str, short_clip: Clip, of_threads: bytes, tmp_path: Path
) -> None:
    on_dask = {"runner": "dask", "dask_address": scheduler}
    victim = psutil.Process(_pids(scheduler)["GPU"])
    with ThreadPoolExecutor() as pool:
        killing = pool.submit(_kill_in_a_segment, victim, tmp_path / "dask")
        run(short_clip, tmp_path / "dask", tmp_path / "dask.mp4", engine=WARP, segments=SHORT, run=on_dask)
        killing.result()
    assert not victim.is_running()
    assert (tmp_path / "dask.mp4").read_bytes() == of_threads


def _kill_in_a_segment(victim: psutil.Process, work_dir: Path) -> None:
    def rendering() -> bool:  # no count of frames: a segment may be done before it is told a second time
        return any(name.startswith("render-") for folder in work_dir.glob("runs/*") for name in read_progress(folder))

    wait_until(rendering, "a segment is being made", every=0.01)
    kill(victim)
