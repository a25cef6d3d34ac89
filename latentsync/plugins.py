"""Specs by their names: those of this package, and those of others."""

from functools import cached_property
from importlib.metadata import EntryPoints, entry_points
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """What a spec needs to be found."""

    @property
    def name(self) -> str:
        """Its name in the settings."""
        ...


Spec = TypeVar("Spec", bound=Named)


class Plugins(Generic[Spec]):
    """What is built in or registered in this process, and what other packages have as entry points of ``group``."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._specs: dict[str, Spec] = {}

    def register(self, spec: Spec) -> None:
        """Make a spec known to this process, and to no other."""
        self._specs[spec.name] = spec

    def names(self) -> list[str]:
        """All that can be named."""
        return sorted({*self._specs, *self._installed.names})

    def find(self, name: str) -> Spec:
        """The spec of that name. Raises ``ValueError`` when there is none."""
        if name not in self._specs:
            for entry in self._installed.select(name=name):
                self.register(entry.load())
        if name not in self._specs:
            raise ValueError(f"{name!r} is unknown; known are {', '.join(self.names())}")
        return self._specs[name]

    @cached_property
    def _installed(self) -> EntryPoints:
        return entry_points(group=self._group)
