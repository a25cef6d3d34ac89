"""A stage is one object: its name, key, resource, suffix and body stand in one place; here it is run.

To add a stage: decorate its body with ``stage`` or ``file_stage`` and submit it in the flow. Report, tables,
logs, progress and the reading of results follow by themselves.
"""

import functools
import hashlib
import importlib
import inspect
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, get_type_hints

from prefect import Task, task
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.context import TaskRunContext
from prefect.states import State
from prefect.transactions import get_transaction

from latentsync.engines.gpu_use import gpu_use
from latentsync.errors import InternalError, TransientError
from latentsync.job import Job
from latentsync.records import Artefact, Record
from latentsync.settings import Settings
from tasks.arenas import return_freed_memory
from tasks.places import place
from tasks.progress import Progress, worker_name
from tasks.results import LOCAL, Done, Records, Took, allow, bring
from tasks.usage import cpu_use, peak_gpu_mib, peak_rss_mib
from tasks.work import Work

if TYPE_CHECKING:
    from tasks.submitted import Submitted

P = ParamSpec("P")
R = TypeVar("R", bound=Record)
Resource = Callable[[Settings], str]

NO_PLACE = "waits for memory (run.max_rss_gib)"
STAGES: dict[str, "Stage[Any, Any]"] = {}  # by name


def cpu(_settings: Settings) -> str:
    """The resource of a stage that needs no GPU, whatever the settings."""
    return "CPU"


class Stage(Generic[P, R]):
    """A step of the flow, mapped over what its parameters say: job, chunk or segment."""

    def __init__(
        self,
        template: str,
        body: Callable[..., R],
        key: Callable[..., list[object]] | None,
        version: int,
        resource: Resource,
        is_needed: bool = True,
    ) -> None:
        self.template, self.version, self.resource, self.is_needed = template, version, resource, is_needed
        self.name = template.split("-{")[0]
        self._body, self._key = body, key
        signature = inspect.signature(body)
        self.signature = signature.replace(parameters=list(signature.parameters.values())[1:])
        self.per_segment = "segment" in self.signature.parameters
        allow(get_type_hints(body)["return"])
        STAGES[self.name] = self
        self.__doc__ = body.__doc__

    @property
    def is_kept(self) -> bool:
        """Whether its result may serve later runs."""
        return self._key is not None

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> "Submitted[R]":
        """Submit to the task runner of the current run; ``later`` puts another stage's result in."""
        from tasks.run import Run

        return Run.current().submit(self, self.signature.bind(*args, **kwargs).arguments)

    def task(self, policy: CachePolicy, **options: Any) -> Task[..., Done[R]]:
        """The stage as a Prefect task."""

        def run(*args: Any, **kwargs: Any) -> Done[R]:
            return self.run(*args, **kwargs)

        cast(Any, run).__signature__ = self.signature
        run.__name__ = self.name  # Dask's dashboard calls tasks so
        run.__doc__ = self.__doc__
        return task(
            name=self.name, task_run_name=self.template, cache_policy=policy if self.is_kept else NO_CACHE,
            retry_condition_fn=is_transient, cache_result_in_memory=False, **options,
        )(run)  # fmt: skip

    def run(self, *args: Any, **kwargs: Any) -> Done[R]:
        """Do the work here and now, and say what it took."""
        given = _values(self.signature.bind(*args, **kwargs).arguments)
        bring(given.values())
        settings = _settings(given)
        context, began = TaskRunContext.get(), time.monotonic()
        run_id = str(context.task_run.flow_run_id) if context else LOCAL
        key = self._current_key()
        if key is None and self.is_kept and context:  # Prefect would go on without lock and record
            raise TransientError(f"{self.name}: its key could not be made, see the log above; trying again")
        key = key or self.key_of(given)
        if context and context.task.refresh_cache:  # made again on purpose: once by each run
            made = Records(work_dir=settings.run.work_dir).made_by(run_id, key)
            if made:
                return made
        progress = Progress.of_task(settings.run.work_dir)
        job = next((value for value in given.values() if isinstance(value, Job)), None)
        with gpu_use() as gpu, cpu_use() as cpu_time, progress.telling(), place(job, lambda: progress.note(NO_PLACE)):
            progress.note("")
            value = self._body(Work(progress, key, job, self.name), **given)
            return_freed_memory()
        took = Took(
            run=run_id,
            task=context.task_run.name if context else self.name,
            seconds=round(time.monotonic() - began, 3),
            attempts=context.task_run.run_count if context else 1,
            worker=worker_name(),
            cpu_seconds=round(cpu_time.seconds, 3),
            peak_rss_mib=peak_rss_mib(),
            peak_gpu_mib=peak_gpu_mib(),
            gpu_seconds=gpu.seconds and round(gpu.seconds, 3),
            gpu_memory_steps=gpu.memory_steps,
        )
        return Done(value=value, took=took)

    def key_of(self, given: dict[str, Any]) -> str:
        """Content key: equal keys mean equal work, whatever the path, the run or the machine."""
        if self._key is None:
            return self.name
        values = _values(given)
        try:
            parts = self._key(**values)
        except FileNotFoundError:  # a few keys look into files; none of them into the job's own inputs
            bring(value for value in values.values() if not isinstance(value, Job))
            parts = self._key(**values)
        text = json.dumps([self.name, self.version, *parts], sort_keys=True, default=str)
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()}"

    def _current_key(self) -> str | None:
        transaction = get_transaction()
        return transaction.key if self._key and transaction else None

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes take the stage from its module."""
        return _stage, (self._body.__module__, self._body.__qualname__)


@dataclass
class ContentKey(CachePolicy):
    """Prefect's key of a task run is its stage's."""

    stage: Stage[..., Any] | None = None

    def compute_key(self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **_: Any) -> str:
        """See ``Stage.key_of``."""
        assert self.stage
        return self.stage.key_of(inputs)


def stage(
    template: str,
    key: Callable[..., list[object]] | None = None,
    *,
    version: int = 1,
    resource: Resource = cpu,
    is_needed: bool = True,
) -> Callable[[Callable[Concatenate[Work, P], R]], Stage[P, R]]:
    """Make a body, which returns a record, a stage.

    ``template`` names its tasks, such as ``generate-{segment.index:03d}``. ``key`` gives the parts of the
    content key: all that the result depends on but the inputs' paths; None: never reused. Raise ``version``
    when the body makes something else of the same inputs. Not ``is_needed``: its failure is not the run's.
    """

    def decorate(body: Callable[Concatenate[Work, P], R]) -> Stage[P, R]:
        return Stage(template, body, key, version, resource, is_needed)

    return decorate


def file_stage(
    template: str,
    key: Callable[..., list[object]],
    suffix: str | Callable[..., str],
    *,
    version: int = 1,
    resource: Resource = cpu,
) -> Callable[[Callable[Concatenate[Path, Progress, P], None]], Stage[P, Artefact]]:
    """Make a body that writes the file ``out`` a stage; otherwise as ``stage``."""

    def decorate(body: Callable[Concatenate[Path, Progress, P], None]) -> Stage[P, Artefact]:
        @functools.wraps(body)
        def make(work: Work, **given: Any) -> Artefact:
            ending = suffix if isinstance(suffix, str) else suffix(**given)
            write = cast(Callable[..., None], body)
            return work.file(ending, lambda out: write(out, work.progress, **given))

        signature = inspect.signature(body)
        work = inspect.Parameter("work", inspect.Parameter.POSITIONAL_ONLY)
        cast(Any, make).__signature__ = signature.replace(parameters=[work, *list(signature.parameters.values())[2:]])
        make.__annotations__ = {"return": Artefact}
        return Stage(template, make, key, version, resource)

    return decorate


def later(item: "Submitted[R]") -> R:
    """What a stage gets in the place of a result that is still being made: the result."""
    return cast(R, item)


def is_transient(_task: Task, _run: object, state: State) -> bool:
    """Retry condition: only what may pass by itself is tried again."""
    return isinstance(state.result(raise_on_failure=False), TransientError)


def _stage(module: str, name: str) -> Stage[..., Any]:
    return getattr(importlib.import_module(module), name)


def _values(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters with earlier results in the place of what carried them."""
    return {name: _value(parameter) for name, parameter in parameters.items()}


def _value(parameter: object) -> object:
    if isinstance(parameter, Done):
        return parameter.value
    if isinstance(parameter, list):
        return [_value(item) for item in parameter]
    return parameter


def _settings(given: dict[str, Any]) -> Settings:
    for value in given.values():
        if isinstance(value, Settings):
            return value
        if isinstance(value, Job):
            return value.settings
    raise InternalError("a stage takes a Job or Settings, to know its workspace")
