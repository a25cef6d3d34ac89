"""Which engines there are, and the settings of them all.

To add one here: a folder with its spec, and a line in ``EngineSettings``. Another package names its spec, under
the engine's name, as an entry point of the group ``lipsync.engines``.
"""

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from latentsync.engines.diffusion.spec import LATENTSYNC, LATENTSYNC_15, LATENTSYNC_16, LatentSyncSettings
from latentsync.engines.spec import AnySpec, EngineSpec
from latentsync.engines.warp.spec import WARP, WarpSettings
from latentsync.group import Group
from latentsync.plugins import Plugins

ENGINES: Plugins[AnySpec] = Plugins("lipsync.engines")
_groups: dict[str, str] = {}  # engine that is built in -> its group of settings


class EngineSettings(Group):
    """How new faces are made."""

    name: str = Field(
        default="warp",
        description="warp: a preview on the CPU without weights; latentsync: the diffusion model at the resolution "
        "its weights were made for; -1.6: only 512 px, -1.5: only 256 px",
        json_schema_extra=lambda schema: schema.update(enum=[*ENGINES.names()]),  # a drop-down
    )
    warp: Annotated[WarpSettings, WARP] = Field(default=WarpSettings(), description="Settings of warp")
    latentsync: Annotated[LatentSyncSettings, LATENTSYNC, LATENTSYNC_16, LATENTSYNC_15] = Field(
        default=LatentSyncSettings(), description="Settings of latentsync, latentsync-1.6 and latentsync-1.5"
    )
    options: dict[str, Any] = Field(default={}, description="Settings of an engine from another package")

    @property
    def spec(self) -> AnySpec:
        """The engine that is named."""
        return ENGINES.find(self.name)

    @property
    def own(self) -> Group:
        """The settings of the engine that is named."""
        group = _groups.get(self.name)
        return getattr(self, group) if group else self.spec.settings.model_validate(self.options)

    def reseeded(self, by: int) -> "EngineSettings | None":
        """The same with its ``seed`` raised ``by``; None for an engine that leaves nothing to chance."""
        seed = getattr(self.own, "seed", None)
        if seed is None or self.spec.direct:
            return None
        own, group = {"seed": seed + by}, _groups.get(self.name)
        changed = {group: self.own.model_copy(update=own)} if group else {"options": {**self.options, **own}}
        return self.model_copy(update=changed)

    @field_validator("name")
    @classmethod
    def _engine_is_known(cls, name: str) -> str:
        return ENGINES.find(name).name

    @model_validator(mode="after")
    def _options_fit(self) -> "EngineSettings":
        if self.options and self.name in _groups:
            raise ValueError(f"options: those of {self.name} belong into engine.{_groups[self.name]}")
        _ = self.own
        return self


for _group, _field in EngineSettings.model_fields.items():
    for _spec in _field.metadata:
        if isinstance(_spec, EngineSpec):
            ENGINES.register(_spec)
            _groups[_spec.name] = _group
