"""Options of the command line are those of the settings, whatever the settings are."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts import App, CycloptsError
from pydantic import BaseModel, Field
from rich.console import Console

from flows.cli.app import app
from flows.cli.options import option_names, settings_of, with_settings
from latentsync.errors import InputError
from latentsync.settings import Settings

HEAVY = {"prefect", "torch", "cv2", "av", "mediapipe", "numpy", "pydantic", "httpx", "distributed"}


def told(*command: str) -> str:
    """The help of a command, on lines that are never folded."""
    page = io.StringIO()
    app.help_print(command, console=Console(file=page, width=400))
    return page.getvalue()


def parsed(*arguments: object) -> Settings:
    """The settings that a command with all options gets."""
    taken: list[Settings] = []
    command = App(print_error=False, exit_on_error=False, result_action="return_value")

    @command.default
    @with_settings()
    def take(*, settings: Settings) -> None:
        taken.append(settings)

    command([str(argument) for argument in arguments])
    return taken[0]


def test_every_setting_has_one_option_and_its_help_shows_the_default() -> None:
    page = told("sync")
    options = option_names(list(settings_of(Settings)))
    for name, setting in options.items():
        lines = [line for line in page.splitlines() if re.search(rf" --{name.rstrip('_').replace('_', '-')} ", line)]
        assert len(lines) == 1, f"{setting.path}: {lines}"
        default = setting.field.get_default(call_default_factory=True)
        assert f"[default: {'empty' if default in (None, '', {}, []) else default}]" in lines[0]
    assert len(options) == len(list(settings_of(Settings)))


def test_an_option_is_called_by_the_field_and_its_group_goes_before_it_only_where_two_would_be_the_same() -> None:
    class Fast(BaseModel):
        seed: int = 1
        width: int = 2

    class Slow(BaseModel):
        seed: int = 3
        output: str = ""

    class Both(BaseModel):
        fast: Fast = Fast()
        slow: Slow = Slow()

    names = option_names(list(settings_of(Both)), ["output"])
    assert {name: setting.path for name, setting in names.items()} == {
        "fast_seed": ("fast", "seed"),
        "width": ("fast", "width"),
        "slow_seed": ("slow", "seed"),
        "slow_output": ("slow", "output"),
    }


def test_settings_may_lie_deeper_and_in_optional_groups() -> None:
    class Inner(BaseModel):
        depth: int = Field(default=1)

    class Outer(BaseModel):
        inner: Inner | None = None

    class Root(BaseModel):
        outer: Outer = Outer()

    assert [setting.path for setting in settings_of(Root)] == [("outer", "inner", "depth")]


def test_options_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("encode: {crf: 30, preset: slow}\nrun: {cache: false}")
    settings = parsed("--config", file, "--crf", 20)
    assert (settings.encode.crf, settings.encode.preset, settings.run.cache) == (20, "slow", False)
    assert parsed("--config", file, "--cache").run.cache is True
    assert parsed("--no-cache").run.cache is False
    assert parsed() == Settings()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--crf", "99"), "--crf '99': Input should be less than or equal to 51"),
        (("--crf", "good"), "--crf 'good': Input should be a valid integer"),
        (("--preset", "slowly"), 'Invalid value "slowly" for --preset. Choose from: "ultrafast"'),
        (("--fps", "999"), "--fps '999': fps 999 is outside 1..240"),
        (("--engine-options", "{a: 1"), "--engine-options '{a: 1': not valid YAML"),
        (("--engine-options", "3"), "--engine-options '3': Input should be a valid dictionary"),
        (("--face", "1,x"), "--face '1,x': '1,x' is no choice of a face"),
    ],
)
def test_a_bad_value_is_told_with_option_value_and_limit(arguments: tuple[str, ...], told: str) -> None:
    with pytest.raises((InputError, CycloptsError)) as error:
        parsed(*arguments)
    assert str(error.value).startswith(told)


def test_places_hold_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = parsed("--work-dir", "work", "--report-dir", "s3://bucket/report")
    assert (settings.run.work_dir, settings.run.report_dir) == (str(tmp_path / "work"), "s3://bucket/report")


def test_a_mapping_is_given_as_yaml() -> None:
    with pytest.raises(InputError, match="options: those of warp belong"):
        parsed("--engine-options", "{depth: 1}")


def test_a_command_takes_the_groups_that_it_names() -> None:
    assert "--crf" not in told("bench")
    assert "--engine" in told("bench")


def test_the_list_of_commands_comes_at_once() -> None:
    script = f"import sys; from flows.cli.app import app; app('--help'); sys.exit(str({HEAVY} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == "set()"
    assert "sync" in ended.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_options_and_choices(shell) -> None:
    script = app.generate_completion(shell=shell)
    assert all(word in script for word in ("rerun", "disk-profile", "h264_nvenc"))
