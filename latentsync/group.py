"""The form of every group of settings."""

from typing import Any

from pydantic import BaseModel, ConfigDict

_WORDS = {"crf": "CRF", "fps": "frames per second", "dtype": "number format", "gib": "GiB", "gpu": "GPU", "url": "URL"}


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


class Group(BaseModel):
    """A frozen group of settings, each with a description; unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", field_title_generator=_title, json_schema_extra=_show_bounds)
