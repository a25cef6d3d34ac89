"""Settings and disk profiles from files; command-line options go on top."""

import math
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from latentsync.errors import InputError
from latentsync.settings import Settings
from latentsync.storage import disks
from latentsync.storage.throttle import DiskProfile

CONFIGS = Path(__file__).parent
PROFILE_SUFFIXES = (".yaml", ".yml")


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


def disk_profile(name: str, disk_gib: float = math.inf) -> DiskProfile:
    """The disk profile ``configs/disks/<name>.yaml``, or the YAML file of that path, for a disk of this size.

    Raises ``InputError`` for an unknown name, and for a file that is no profile.
    """
    known = {file.stem: file for file in (CONFIGS / "disks").glob("*.yaml")}
    path = Path(name) if name.endswith(PROFILE_SUFFIXES) else known.get(name)
    if path is None:
        raise InputError(
            f"disk profile {name!r} is unknown; known are {', '.join(sorted(known))}, or name a .yaml file"
        )
    try:
        return DiskProfile.model_validate(_read(path)).on(disk_gib)
    except ValidationError as error:
        raise InputError(f"{path}: no disk profile: {_explain(error)}") from error


def disk_of(settings: Settings, output: str) -> DiskProfile:
    """The settings' disk profile, for the disk of the size that ``output`` lies on."""
    return disk_profile(settings.run.disk_profile, disks.size_gib(output))


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
