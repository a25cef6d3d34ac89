"""The form of every group of settings."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

_WORDS = {"crf": "CRF", "fps": "frames per second", "dtype": "number format", "gib": "GiB", "gpu": "GPU", "url": "URL"}
OPEN = "open"  # says of a group's field that the form always shows it


def _title(name: str, _info: object) -> str:
    """Heading of a setting in the form."""
    words = " ".join(_WORDS.get(word, word) for word in name.split("_"))
    return words[0].upper() + words[1:]


def _show_bounds(schema: dict[str, Any]) -> None:
    """Write the bounds, which the form checks but does not show, into the descriptions."""
    for field in schema.get("properties", {}).values():
        low, high = field.get("minimum"), field.get("maximum")
        if low is not None and high is not None:
            field["description"] += f" ({low} to {high})"


def _fold(schema: dict[str, Any], groups: dict[str, "Group"]) -> None:
    """Show groups within a group when they are chosen: the form has nothing to fold, but shows a None as one line."""
    for name, group in groups.items():
        field = schema["properties"][name]
        if field.pop(OPEN, False):
            del field["default"]  # which would open all within
            continue
        field["anyOf"] = [{"$ref": field.pop("$ref")}, {"type": "null", "title": "default"}]
        field.update(default=None, description=field.get("description", group.__doc__))


def _form(schema: dict[str, Any], kind: type["Group"]) -> None:
    schema["title"] = "change"  # the button that shows a folded group
    _show_bounds(schema)
    _fold(schema, kind.groups())


class Group(BaseModel):
    """A frozen group of settings, each with a description; unknown ones are refused.

    A group within it may be given as None, which means its defaults: the form says so of those not opened.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", field_title_generator=_title, json_schema_extra=_form)

    @classmethod
    def groups(cls) -> dict[str, "Group"]:
        """Name -> defaults of the groups within this one."""
        fields = {name: field.default for name, field in cls.model_fields.items()}
        return {name: default for name, default in fields.items() if isinstance(default, Group)}

    @model_validator(mode="before")
    @classmethod
    def _none_is_the_default(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        groups = cls.groups()
        return {name: value for name, value in given.items() if value is not None or name not in groups}
