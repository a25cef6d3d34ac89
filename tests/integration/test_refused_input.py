"""An input that one task refuses: the run says so at once, the tasks beside it stop, those behind it never begin."""

import time
from pathlib import Path

import pytest
from prefect import flow

from latentsync.errors import InputError
from latentsync.records import Record, Segment
from latentsync.settings import Settings
from tasks.run import Run
from tasks.stages import STAGES, stage
from tasks.work import Work

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

GIVE_UP_SECONDS = 60


class Made(Record):
    index: int


def test_the_rest_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.stages.STAGES", dict(STAGES))
    began: set[int] = set()

    @stage("look-{segment.index:03d}")
    def look(work: Work, settings: Settings, segment: Segment) -> Made:
        began.add(segment.index)
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            if segment.index == 0 and len(began) == 2:
                raise InputError("v.mp4 is damaged")
            work.progress.check()
        return Made(index=segment.index)

    @flow(persist_result=False)
    def refusing() -> None:
        settings = Settings.model_validate({"run": {"work_dir": str(tmp_path / "work"), "workers": 2}})
        with Run(settings) as run:
            for index in range(4):
                look.submit(settings, Segment(index=index, start=index, end=index + 1, clip_end=index + 1))
            run.wait_for_all()

    with pytest.raises(InputError, match=r"v\.mp4 is damaged"):
        refusing()
    assert began == {0, 1}
