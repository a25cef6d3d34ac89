"""A run without Prefect's engine: the flow as it stands, on a runner that works at once, and what is told of it."""

import asyncio
import concurrent.futures
import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from prefect.futures import PrefectConcurrentFuture
from prefect.states import Completed, Failed, State

from flows.lipsync import lipsync
from flows.observe.progress import stage_progress
from flows.observe.segments_table import segments_table
from latentsync.errors import InputError, SegmentsFailed, TransientError
from latentsync.publishing.report import Report
from latentsync.publishing.sole_writer import sole_writer
from latentsync.records import Record, Segment
from latentsync.segments.verdict import Score, Verdict
from latentsync.settings import RunSettings, Settings
from latentsync.storage.workspace import Workspace
from tasks.pace import staggered
from tasks.progress import STOP
from tasks.results import Done
from tasks.run import Run
from tasks.runners import RUNNERS, runner_of
from tasks.runners.dask import OnDask
from tasks.stages import STAGES, is_transient, later, stage
from tasks.submitted import Submitted
from tasks.work import Work
from tests.conftest import Clip

SEGMENTS = [Segment(index=index, start=10 * index, end=10 * index + 10, clip_end=10 * index + 12) for index in range(3)]


class Made(Record):
    index: int


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages of a test are no stages of the next one."""
    monkeypatch.setattr("tasks.stages.STAGES", dict(STAGES))


class Future:
    """The future of a task that has ended."""

    task_run_id = UUID(int=0)

    def __init__(self, work: Callable[[], Any]) -> None:
        try:
            self._result = work()
            self.state: State = Completed(data=self._result)
        except Exception as error:
            self.state = Failed(message=str(error), data=error)

    def wait(self) -> None: ...

    def result(self) -> Any:
        return self._result

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        call(self)


class AtOnce:
    """A runner that runs a task when it is submitted."""

    elsewhere = False
    ahead_tasks = 4

    def __init__(self, settings: Any) -> None:
        self.placed: list[tuple[str, str]] = []

    def start(self) -> Any:
        import contextlib

        return contextlib.nullcontext()

    def submit(self, runner: Any, task: Any, parameters: dict[str, Any], resource: str) -> Future:
        self.placed.append((task.name, resource))
        given = {name: _resolved(value) for name, value in parameters.items()}
        return Future(lambda: task.fn(**given))

    def missing(self, resources: set[str]) -> set[str]:
        return set()


class WhenWaitedFor(AtOnce):
    """A runner that runs a task when its end is waited for."""

    def submit(self, runner: Any, task: Any, parameters: dict[str, Any], resource: str) -> Any:
        return Sleeping(lambda: task.fn(**parameters))


class Sleeping(Future):
    """The future of a task that has not begun."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work

    def wait(self) -> None:
        super().__init__(self._work)

    def add_done_callback(self, call: Callable[[Any], None]) -> None: ...


def _resolved(value: Any) -> Any:
    if isinstance(value, list):
        return [_resolved(item) for item in value]
    return value.result() if isinstance(value, Future | State) else value


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setitem(RUNNERS, "threads", AtOnce)
    groups = {"run": {"work_dir": str(tmp_path / "work"), "workers": 2}, "segments": {"segment_seconds": 1}}
    return Settings.model_validate(groups)


def making(fails: Callable[[int], Exception | None], is_needed: bool = True) -> Any:
    @stage("make-{segment.index:03d}", is_needed=is_needed)
    def make(work: Work, settings: Settings, segment: Segment) -> Made:
        if error := fails(segment.index):
            raise error
        return Made(index=segment.index)

    return make


def test_results_are_waited_for_and_counted(settings: Settings) -> None:
    make = making(lambda index: None)
    with Run(settings) as run:
        futures = [make.submit(settings, segment) for segment in SEGMENTS]
        assert run.wait(futures[2]) == Made(index=2)
        run.wait_for_all()
    progress = stage_progress(run)["make"]
    assert (progress.done, progress.total) == (30, 30)


def test_of_a_task_that_has_ended_well_only_its_record_is_held(settings: Settings) -> None:
    make = making(lambda index: ValueError("no 2") if index == 2 else None)
    with Run(settings) as run:
        items = [make.submit(settings, segment) for segment in SEGMENTS]
        assert [isinstance(item.handle, State) for item in items] == [True, True, False], "its future tells why"
        assert [
            state.result().value.index for state in (item.handle for item in items[:2]) if isinstance(state, State)
        ] == [0, 1]
        with pytest.raises(SegmentsFailed, match="make-002: ValueError: no 2"):
            run.wait(items[2])


@pytest.mark.parametrize("cancelled", [asyncio.CancelledError, concurrent.futures.CancelledError])
def test_a_task_that_the_runner_of_a_stopped_run_cancels_ends_without_a_traceback(
    cancelled, settings: Settings
) -> None:
    wrapped: concurrent.futures.Future[Any] = concurrent.futures.Future()
    item = Submitted("make-000", making(lambda index: None), PrefectConcurrentFuture(UUID(int=0), wrapped), None, 0)
    ended = []
    wrapped.add_done_callback(lambda _: ended.append(item.end()))
    wrapped.set_exception(cancelled())  # calls back as the runner's thread does
    assert ended == [False]
    assert item.state is None


def test_one_error_names_all_that_failed_and_the_remedy(settings: Settings) -> None:
    make = making(lambda index: ValueError(f"no {index}") if index != 1 else None)
    with Run(settings) as run:
        for segment in SEGMENTS:
            make.submit(settings, segment)
        with pytest.raises(SegmentsFailed, match="lipsync rerun local") as failed:
            run.wait_for_all()
    assert failed.value.reasons == {"make-000": "ValueError: no 0", "make-002": "ValueError: no 2"}
    lines = segments_table(run).splitlines()
    assert lines[0] == "1 completed, 2 failed"
    assert [line.split(" | ")[0].strip("| ") for line in lines if line.startswith("| make")] == [
        "make-000", "make-002", "make-001",
    ]  # fmt: skip
    assert stage_progress(run)["make"].done == 10


def test_what_the_gate_has_kept_is_told_beside_the_score_that_counts_and_no_other(settings: Settings) -> None:
    @stage("score-{segment.index:03d}")
    def score(work: Work, settings: Settings, segment: Segment, correlation: float) -> Score:
        return Score(correlation=correlation)

    with Run(settings) as run:
        for correlation in (0.1, 0.9):
            score.submit(settings, SEGMENTS[0], correlation)
        run.verdicts[0] = Verdict(score=Score(correlation=0.9), below=(), generated_again=1, seed=8)
    rows = [line.split(" | ")[:3] for line in segments_table(run).splitlines() if line.startswith("| score")]
    assert rows == [
        ["| score-000", "Completed", "correlation 0.1"],
        ["| score-000 (2)", "Completed", "generated again once, kept that of seed 8; correlation 0.9"],
    ]


def test_what_the_user_must_mend_is_said_as_it_is(settings: Settings) -> None:
    make = making(lambda index: InputError("v.mp4 has no face") if index else ValueError("no 0"))
    with Run(settings) as run:
        for segment in SEGMENTS:
            make.submit(settings, segment)
        with pytest.raises(InputError, match="has no face"):
            run.wait_for_all()


def test_what_the_run_can_do_without_fails_it_not_and_stops_nothing(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    make = making(lambda index: InputError("v.mp4 has no face") if index else None, is_needed=False)
    with Run(settings) as run:
        made = [run.wait_for_unneeded(make.submit(settings, segment)) for segment in SEGMENTS]
        run.wait_for_all()
        assert not (run.folder / STOP).exists()
    assert made == [Made(index=0), None, None]
    assert "no make-001: v.mp4 has no face" in caplog.text


def test_only_what_may_pass_is_tried_again() -> None:
    def again(error: Exception) -> bool:
        return is_transient(None, None, Failed(data=error))  # pyright: ignore[reportArgumentType]

    assert again(TransientError("the network"))
    assert not any(map(again, (InputError("a file"), ValueError("a bug"))))


def test_renders_are_submitted_behind_the_faces_that_they_wait_for(settings: Settings) -> None:
    with Run(settings) as run:
        pairs = [(a and a.index, b and b.index) for a, b in staggered(run, SEGMENTS, 2)]
    assert pairs == [(0, None), (1, 0), (2, 1), (None, 2)]
    with Run(settings, [7]) as run, pytest.raises(InputError, match=r"force_segments \[7\]: this job has segments 0"):
        list(staggered(run, SEGMENTS, 2))


def test_a_score_is_submitted_behind_the_render_that_it_waits_for(settings: Settings) -> None:
    with Run(settings) as run:
        rows = [tuple(each and each.index for each in row) for row in staggered(run, SEGMENTS, 3)]
    assert rows == [(0, None, None), (1, 0, None), (2, 1, 0), (None, 2, 1), (None, None, 2)]


def test_few_tasks_wait_for_a_worker_however_long_the_video_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RUNNERS, "threads", WhenWaitedFor)
    segments = [Segment(index=index, start=10 * index, end=10 * index + 10, clip_end=0) for index in range(20)]
    make, waiting, totals = making(lambda index: None), [], set()
    with Run(settings) as run:
        run.expect(make, segments)
        for segment, _ in staggered(run, segments, 2):
            if segment:
                make.submit(settings, segment)
            waiting.append(sum(item.state is None for item in run.submitted.values()))
            totals.add(stage_progress(run)["make"].total)
        run.wait_for_all()
    assert (waiting[0], max(waiting), totals) == (1, 5, {200})
    assert len(run.submitted) == 20


def test_threads_have_few_tasks_ahead_and_many_threads_no_more_than_a_rack() -> None:
    ahead = [runner_of(RunSettings(workers=workers)).ahead_tasks for workers in (1, 2, 64)]
    assert ahead == [16, 32, OnDask.ahead_tasks]


def test_the_flow_as_it_stands_makes_a_file_and_a_true_report(
    settings: Settings, tiny_clip: Clip, tmp_path: Path
) -> None:
    state = cast(State, lipsync.fn(str(tiny_clip.video), str(tiny_clip.voice), str(tmp_path / "out.mp4"), settings))
    report = cast(Report, state.data)
    assert state.message == f"{tmp_path}/out.mp4: {report.summary}"
    assert (tmp_path / "out.mp4").stat().st_size == report.output.size_bytes
    assert list(report.stages) == [
        "probe", "voice", "faces", "track", "plan", "render", "join", "publish", "score",
    ]  # fmt: skip
    assert all(stage.cached == 0 for stage in report.stages.values())
    assert not report.segments[0].tasks["render"].cached
    assert report.segments[0].tasks["render"].attempts == 1
    assert report.peak_gpu_mib is None
    render = report.stages["render"]
    clips = sum(path.stat().st_size for path in Path(settings.run.work_dir).glob("*/render/*.mp4"))
    assert render.written_mib == pytest.approx(clips / 2**20, abs=0.1)
    assert render.expected_mib is not None
    assert report.work_mib
    assert report.work_mib_per_minute == pytest.approx(report.work_mib * 60 / (report.frames / report.fps), rel=0.05)


def test_where_scores_decide_the_output_waits_for_them(settings: Settings, tiny_clip: Clip, tmp_path: Path) -> None:
    deciding = settings.model_copy(update={"score": settings.score.model_copy(update={"gate": "retry"})})
    state = cast(State, lipsync.fn(str(tiny_clip.video), str(tiny_clip.voice), str(tmp_path / "out.mp4"), deciding))
    stages = list(cast(Report, state.data).stages)
    assert stages.index("score") < stages.index("join")


def test_a_job_whose_output_another_job_makes_is_refused_and_touches_nothing(
    settings: Settings, tiny_clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.lipsync.sole_writer", functools.partial(sole_writer, patience_seconds=0))
    output = tmp_path / "out.mp4"
    output.write_text("what was there")
    other = Workspace.at(f"{tmp_path}/another work")
    other.open()
    with (
        sole_writer(str(output), other, "brave-fox"),
        pytest.raises(InputError, match=r"out\.mp4 is being made by another job \(run brave-fox"),
    ):
        lipsync.fn(str(tiny_clip.video), str(tiny_clip.voice), str(output), settings)
    assert output.read_text() == "what was there"
    assert not list(Path(settings.run.work_dir).glob("*/faces"))


def test_a_result_of_another_run_is_cached_in_the_report(settings: Settings) -> None:
    make = making(lambda index: None)
    with Run(settings) as run:
        future = make.submit(settings, SEGMENTS[0])
        item = run.submitted["make-000"]
        assert item.result
        took = replace(item.result.took, run="another")
        item.result = Done(value=item.result.value, took=took)
        assert later(future) is future
        assert not run.made(item)
        assert "cached" in segments_table(run).splitlines()[0]
