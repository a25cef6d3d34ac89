"""Command-line options made from the settings' own descriptions, bounds and defaults."""

from functools import reduce
from operator import attrgetter
from typing import Any

import typer

from latentsync.settings import Settings


def option(group: str, field: str, *names: str) -> Any:
    """A typer option for one setting of a group such as "engine.warp"; its help: description, bounds, default."""
    schema = type(attrgetter(group)(Settings())).model_json_schema()["properties"][field]
    default = "" if schema.get("default") in (None, "") else f" [default: {schema['default']}]"
    names = names or (f"--{field.replace('_', '-')}",)
    return typer.Option(*names, help=f"{schema['description']}{default}", show_default=False)


def overrides(**options: Any) -> dict[str, Any]:
    """{group: {field: value}} from ``group__field=value``, leaving out what was not given."""
    groups: dict[str, Any] = {}
    for name, value in options.items():
        if value is not None:
            *path, field = name.split("__")
            reduce(lambda group, part: group.setdefault(part, {}), path, groups)[field] = value
    return groups
