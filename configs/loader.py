"""Settings and disk profiles from files; command-line options go on top."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from latentsync.errors import InputError
from latentsync.settings import Settings
from latentsync.storage.throttle import DiskProfile

CONFIGS = Path(__file__).parent


def load_settings(config: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Settings from a YAML or JSON file (the groups of ``Settings``) with ``overrides`` on top.

    Raises ``InputError`` that names every bad setting, its value and its bounds.
    """
    values = _read(config) if config else {}
    for group, value in values.items():
        if not isinstance(value or {}, dict):
            raise InputError(f"{config}: {group} = {value!r}: a group of settings is expected")
    try:
        return Settings.model_validate(merged(values, overrides or {}))
    except ValidationError as error:
        raise InputError(f"{config or 'settings'}: {_explain(error)}") from error


def disk_profile(name: str) -> DiskProfile:
    """The disk profile ``configs/disks/<name>.yaml``. Raises ``InputError`` for an unknown name."""
    path = CONFIGS / "disks" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise InputError(f"disk profile {name!r} is unknown; known are {known}")
    return DiskProfile.model_validate(_read(path))


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Groups of settings, with those of ``above`` over those of ``below``."""
    groups = {name: merged(below.get(name) or {}, value) for name, value in above.items() if isinstance(value, dict)}
    return {**below, **above, **groups}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a readable YAML or JSON file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML or JSON: {error}") from error
    if not isinstance(content or {}, dict):
        raise InputError(f"{path}: expected groups of settings such as 'engine:', found {type(content).__name__}")
    return content or {}


def _explain(error: ValidationError) -> str:
    problems = []
    for item in error.errors():
        problems.append(f"{'.'.join(map(str, item['loc']))} = {item['input']!r}: {item['msg']}")
    return "; ".join(problems)
