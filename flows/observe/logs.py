"""Log records that say what they are about: every one carries ``job``, ``stage`` and ``segment``.

Records of the library that are made inside a task go to the task's log in Prefect's UI, too. With
``PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER=json`` the console gets one JSON object per record.
"""

import logging
from pathlib import Path
from typing import Any

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.configuration import ensure_logging_setup
from prefect.logging.handlers import APILogHandler

from latentsync.errors import one_line
from latentsync.job import Job
from latentsync.records import Segment
from tasks.results import Done

_make_record = logging.getLogRecordFactory()


def set_up_logs() -> None:
    """Send the library's records to Prefect, with their place in the work. Calling it again changes nothing."""
    ensure_logging_setup()
    logging.setLogRecordFactory(_record)
    prefect, library = logging.getLogger("prefect.extra"), logging.getLogger("latentsync")
    library.setLevel(prefect.getEffectiveLevel())
    for handler in [handler for handler in prefect.handlers if isinstance(handler, APILogHandler)]:
        handler.addFilter(_inside_run)
        handler.setFormatter(logging.Formatter("%(place)s%(message)s"))
        library.addHandler(handler)


def dask_setup(worker: object) -> None:
    """Called by Dask workers that preload this module."""
    set_up_logs()


def _record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = _make_record(*args, **kwargs)
    job, stage, segment = _place()
    if record.name.startswith("latentsync"):  # of what names of files hold, a log shows no lines of its own
        record.msg, record.args = one_line(record.getMessage()), None
    where = " ".join(filter(None, [job, stage, f"segment {segment}" if segment is not None else ""]))
    record.__dict__.update(job=job, stage=stage, segment=segment, place=f"[{where}] " if stage else "")
    return record


def _place() -> tuple[str, str, int | None]:
    """(job, stage, segment) of the current task; empty where there is none."""
    if task := TaskRunContext.get():
        segment = task.parameters.get("segment")
        return _job(task.parameters), task.task.name, segment.index if isinstance(segment, Segment) else None
    if (flow := FlowRunContext.get()) and flow.flow_run:
        return flow.flow_run.name, "", None
    return "", "", None


def _job(parameters: dict[str, Any]) -> str:
    job = parameters.get("job")
    job = job.value if isinstance(job, Done) else job
    return Path(job.output if isinstance(job, Job) else parameters.get("output", "")).stem


def _inside_run(record: logging.LogRecord) -> bool:
    """Records of no run have no place in the UI."""
    return bool(getattr(record, "flow_run_id", None) or TaskRunContext.get() or FlowRunContext.get())
