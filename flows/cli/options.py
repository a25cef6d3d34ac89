"""Command-line options made from the settings' own descriptions, bounds and defaults."""

from typing import Any

import typer

from latentsync.settings import Settings


def option(group: str, field: str, *names: str) -> Any:
    """A typer option for one setting; its help is the setting's description, bounds and default."""
    schema = type(getattr(Settings(), group)).model_json_schema()["properties"][field]
    default = "" if schema.get("default") in (None, "") else f" [default: {schema['default']}]"
    names = names or (f"--{field.replace('_', '-')}",)
    return typer.Option(*names, help=f"{schema['description']}{default}", show_default=False)


def overrides(**options: Any) -> dict[str, dict[str, Any]]:
    """{group: {field: value}} from ``group__field=value``, leaving out what was not given."""
    groups: dict[str, dict[str, Any]] = {}
    for name, value in options.items():
        if value is not None:
            group, field = name.split("__")
            groups.setdefault(group, {})[field] = value
    return groups
