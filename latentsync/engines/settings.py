"""Which engines there are, and the settings of them all.

To add one here: a folder with its spec, and a line in ``EngineSettings``. Another package names its spec, under
the engine's name, as an entry point of the group ``lipsync.engines``.
"""

from functools import cache
from importlib.metadata import EntryPoints, entry_points
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from latentsync.engines.diffusion.spec import LATENTSYNC, LATENTSYNC_15, LATENTSYNC_16, LatentSyncSettings
from latentsync.engines.spec import AnySpec, EngineSpec
from latentsync.engines.warp.spec import WARP, WarpSettings
from latentsync.group import Group

_specs: dict[str, AnySpec] = {}  # of the engines known to this process
_groups: dict[str, str] = {}  # engine that is built in -> its group of settings


class EngineSettings(Group):
    """How new faces are made."""

    name: str = Field(
        default="warp",
        description="warp: a preview on the CPU without weights; latentsync: the diffusion model at the resolution "
        "its weights were made for; -1.6: only 512 px, -1.5: only 256 px",
        json_schema_extra=lambda schema: schema.update(enum=list(engine_names())),  # a drop-down
    )
    warp: Annotated[WarpSettings, WARP] = Field(default=WarpSettings(), description="Settings of warp")
    latentsync: Annotated[LatentSyncSettings, LATENTSYNC, LATENTSYNC_16, LATENTSYNC_15] = Field(
        default=LatentSyncSettings(), description="Settings of latentsync, latentsync-1.6 and latentsync-1.5"
    )
    options: dict[str, Any] = Field(default={}, description="Settings of an engine from another package")

    @property
    def spec(self) -> AnySpec:
        """The engine that is named."""
        return engine_spec(self.name)

    @property
    def own(self) -> Group:
        """The settings of the engine that is named."""
        group = _groups.get(self.name)
        return getattr(self, group) if group else self.spec.settings.model_validate(self.options)

    @field_validator("name")
    @classmethod
    def _engine_is_known(cls, name: str) -> str:
        return engine_spec(name).name

    @model_validator(mode="after")
    def _options_fit(self) -> "EngineSettings":
        if self.options and self.name in _groups:
            raise ValueError(f"options: those of {self.name} belong into engine.{_groups[self.name]}")
        _ = self.own
        return self


def engine_names() -> list[str]:
    """The engines that are built in, registered or installed."""
    return sorted({*_specs, *_plugins().names})


def engine_spec(name: str) -> AnySpec:
    """The engine of that name. Raises ``ValueError`` when there is none."""
    if name not in _specs:
        for plugin in _plugins().select(name=name):
            register_engine(plugin.load())
    if name not in _specs:
        raise ValueError(f"there is no engine {name!r}; known are {', '.join(engine_names())}")
    return _specs[name]


def register_engine(spec: AnySpec) -> None:
    """Make an engine known to this process, and to no other."""
    _specs[spec.name] = spec


@cache
def _plugins() -> EntryPoints:
    return entry_points(group="lipsync.engines")


for _group, _field in EngineSettings.model_fields.items():
    for _spec in _field.metadata:
        if isinstance(_spec, EngineSpec):
            register_engine(_spec)
            _groups[_spec.name] = _group
