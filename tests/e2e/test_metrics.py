"""Figures for Prometheus: counted by a run's process, served by another, asked for by the dashboard and the alerts."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from prefect.settings import PREFECT_API_URL
from prometheus_client.parser import text_string_to_metric_families

from flows.cli.metrics_server import metrics_of_runs
from flows.observe.watch import METRICS_FOLDER
from latentsync.errors import InputError
from tests.conftest import Clip
from tests.e2e.media import cut
from tests.e2e.services import BIN, ROOT, free_port

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

FRAMES = 25


@pytest.fixture(scope="module")
def scraped(demo_clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Metric -> its labels, as JSON -> value, when the process of a run has ended."""
    folder, address = tmp_path_factory.mktemp("metrics"), f"127.0.0.1:{free_port()}"
    clip = cut(demo_clip, folder, FRAMES / 25)
    places = ["-o", folder / "out.mp4", "--work-dir", folder / "work"]
    command = [BIN / "lipsync", "sync", clip.video, clip.voice, *places]
    with metrics_of_runs(address):
        environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        first, text = (httpx.get(f"http://{address}/metrics").text for _ in range(2))
        assert first == text  # out of the file of a process that has ended, and out of the sums
        left = [path.name for path in Path(os.environ.pop(METRICS_FOLDER)).iterdir()]
    assert left == ["counter_0.db"]
    samples: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[json.dumps(sample.labels, sort_keys=True)] = sample.value
    return samples


def _of(scraped: dict[str, dict[str, float]], name: str, **labels: str) -> float:
    return scraped[f"lipsync_{name}_total"][json.dumps(labels, sort_keys=True)]


def test_a_run_counts_its_frames_tasks_and_bytes(scraped: dict[str, dict[str, float]]) -> None:
    for stage in ("faces", "render", "score"):
        assert _of(scraped, "frames", stage=stage) == FRAMES
        assert _of(scraped, "task_seconds", stage=stage) > 0
        assert _of(scraped, "retries", stage=stage) == 0
    assert _of(scraped, "tasks", stage="render", end="made") == 1 == _of(scraped, "segments_scored")
    assert _of(scraped, "tasks", stage="render", end="cached") == 0
    assert _of(scraped, "written_bytes", stage="publish") > 10_000
    assert _of(scraped, "runs", end="completed") == 1
    assert _of(scraped, "runs", end="failed") == 0
    assert _of(scraped, "gpu_seconds", stage="generate") == 0  # warp


def _queries() -> Iterator[str]:
    dashboard = json.loads((ROOT / "deployments" / "dashboard.json").read_text())
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    for group in yaml.safe_load((ROOT / "deployments" / "alerts.yaml").read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.mark.parametrize("query", [*_queries()])
def test_dashboard_and_alerts_ask_for_what_there_is(query: str, scraped: dict[str, dict[str, float]]) -> None:
    known = {name: {key for labels in by for key in json.loads(labels)} for name, by in scraped.items()}
    known |= {"lipsync_unfinished_tasks": {"stage", "state"}, "lipsync_peak_memory_bytes": {"memory"}}  # of living runs
    grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \((.*?)\)", query)))) - {"instance"}
    for metric, selector in re.findall(r"(lipsync_\w+)(\{.*?\})?", query):
        assert grouped | set(re.findall(r"(\w+)=", selector)) <= known[metric]


def test_an_address_that_cannot_be_had_is_refused() -> None:
    told = r"--metrics 127\.0\.0\.1:x: .*; give a free address"
    with pytest.raises(InputError, match=told), metrics_of_runs("127.0.0.1:x"):
        pass
