"""Command-line options made from the settings: one for every leaf of the models, and none by hand."""

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from cyclopts import Group, Parameter, Token
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from configs.loader import load_settings
from latentsync.errors import InputError
from latentsync.settings import LOCATION, Settings
from latentsync.storage.locations import normalised

Result = TypeVar("Result", bound=int | None)  # an exit code; none is 0
YAML_KINDS = (dict, list, tuple)
EMPTY = (None, "", {}, [], ())
ConfigFile = Annotated[Path | None, Parameter(help="YAML or JSON file with settings in groups; options win over it")]
PEOPLE_SAY: dict[tuple[str, ...], str] = {  # what a person would call the option
    ("engine", "options"): "engine_options",
    ("faces", "choice"): "face",
    ("mark", "metadata"): "mark",
    ("timing", "part_from"): "from_",
    ("timing", "part_to"): "to",
}
SAY_NOTHING_ALONE = {("mark",)}  # groups whose options carry the group's name, such as --mark-key


@dataclass(frozen=True)
class Setting:
    """A leaf of the settings: its place, such as ("encode", "crf"), and the model that describes it."""

    path: tuple[str, ...]
    owner: type[BaseModel]
    field: FieldInfo

    @property
    def short(self) -> str:
        """Its name as an option: that of the field; a field called name goes by its group."""
        if self.path[:-1] in SAY_NOTHING_ALONE and self.path not in PEOPLE_SAY:
            return self.long
        return PEOPLE_SAY.get(self.path) or (self.path[-2] if self.path[-1] == "name" else self.path[-1])

    @property
    def long(self) -> str:
        """Its name where the short one is taken."""
        return f"{self.path[-2]}_{self.path[-1]}"


def settings_of(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Every leaf of a model of settings, in the order of the fields."""
    for name, field in model.model_fields.items():
        if group := _model(field.annotation):
            yield from settings_of(group, (*path, name))
        else:
            yield Setting((*path, name), model, field)


def _model(annotation: Any) -> type[BaseModel] | None:
    """The model of a field that is a group of settings."""
    kinds = [kind for kind in (annotation, *get_args(annotation)) if inspect.isclass(kind)]
    return next((kind for kind in kinds if issubclass(kind, BaseModel)), None)


def option_names(settings: Sequence[Setting], taken: Sequence[str] = ()) -> dict[str, Setting]:
    """Parameter name of every setting; the group goes before it only where two would be called the same."""
    count = Counter([*taken, *(setting.short for setting in settings)])
    return {setting.long if count[setting.short] > 1 else setting.short: setting for setting in settings}


def with_settings(*places: str) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Give a command ``--config`` and an option for every setting; it gets them all as ``settings``.

    ``places`` are those that the command takes, such as "engine" or "run.work_dir"; none: all.
    """
    wanted = [tuple(place.split(".")) for place in places] or [()]

    def takes(setting: Setting) -> bool:
        return any(setting.path[: len(place)] == place for place in wanted)

    def decorate(command: Callable[..., Result]) -> Callable[..., Result]:
        signature = inspect.signature(command)
        own = [parameter for name, parameter in signature.parameters.items() if name != "settings"]
        settings = [setting for setting in settings_of(Settings) if takes(setting)]
        options = option_names(settings, [*(parameter.name for parameter in own), "config"])

        @functools.wraps(command)
        def with_options(*args: Any, config: Path | None = None, **given: Any) -> Result:
            chosen = {options[name].path: given.pop(name) for name in list(given) if name in options}
            return command(*args, **given, settings=load_settings(config, _nested(chosen)))

        keyword = functools.partial(inspect.Parameter, kind=inspect.Parameter.KEYWORD_ONLY, default=None)
        added = [keyword("config", annotation=ConfigFile)]
        added += [keyword(name, annotation=_annotation(setting)) for name, setting in options.items()]
        with_options.__dict__["__signature__"] = signature.replace(parameters=[*own, *added])
        return with_options

    return decorate


def _nested(values: dict[tuple[str, ...], Any]) -> dict[str, Any]:
    """{group: {field: value}} from {(group, field): value}."""
    root: dict[str, Any] = {}
    for path, value in values.items():
        group = functools.reduce(lambda inner, name: inner.setdefault(name, {}), path[:-1], root)
        group[path[-1]] = value
    return root


def _annotation(setting: Setting) -> Any:
    """What the command line needs to know of an option: type, help, default, panel and how it is checked."""
    kind = setting.field.annotation
    is_yaml = get_origin(kind) in YAML_KINDS
    default = setting.field.get_default(call_default_factory=True)
    schema = setting.owner.model_json_schema()["properties"][setting.path[-1]]
    parameter = Parameter(
        help=schema["description"],
        show_default=lambda _: "empty" if default in EMPTY else str(default),
        choices=schema.get("enum"),
        metavar="YAML" if is_yaml else None,
        group=_panel(setting.path[:-1], setting.owner.__doc__ or ""),
        converter=None if kind is bool else functools.partial(_checked, setting),
    )
    return Annotated[Any if is_yaml else kind | None, parameter]


@functools.cache
def _panel(path: tuple[str, ...], text: str) -> Group:
    return Group.create_ordered(": ".join(path).capitalize(), help=text)


def _checked(setting: Setting, _kind: Any, tokens: Sequence[Token]) -> Any:
    """The value of an option. Raises ``InputError`` that names the option, its value and the limit."""
    option, text = tokens[0].keyword or "", tokens[0].value
    name, given = setting.path[-1], _parsed(setting.field.annotation, option, text)
    try:
        value = getattr(setting.owner.model_validate({name: given}), name)
    except ValidationError as error:
        for problem in error.errors():
            if problem["loc"] and problem["loc"][0] == name:
                raise InputError(f"{option} {text!r}: {problem['msg'].removeprefix('Value error, ')}") from error
        return given  # its group lacks another setting, which is the file's to give
    if isinstance(value, Path) or (LOCATION in setting.field.metadata and value):
        return normalised(str(value))
    return value


def _parsed(kind: Any, option: str, text: str) -> Any:
    """The text, or what it is as YAML where the setting is a mapping or a list."""
    if get_origin(kind) not in YAML_KINDS:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{option} {text!r}: not valid YAML or JSON") from error
