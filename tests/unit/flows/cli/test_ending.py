"""What a person gets to read, and the exit code that a script gets."""

import errno
import subprocess
import sys

import pytest

from flows.cli.app import app
from flows.cli.ending import run_to_the_end
from latentsync.errors import InputError, InternalError, TransientError, WeightsError

WARNS = """
import logging, warnings
from flows.cli.console import show_warnings
show_warnings()
logging.getLogger("latentsync.engines").warning("GPU memory runs short: %s [batch]", "1 window")
logging.getLogger("latentsync.engines").info("loading")
warnings.warn("this way is old", FutureWarning)
"""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("a.mp4: no such file"), 2, "error: a.mp4: no such file"),
        (WeightsError("unet is missing"), 2, "error: unet is missing"),
        (TransientError("no space"), 1, "failed: no space"),
        (InternalError("a frame too many"), 1, "failed: a frame too many"),
        (InputError("talk[final]\n.mp4: no such file"), 2, "error: talk[final]\\n.mp4: no such file"),
        (InputError("a\x1b[2J\r\u202e.mp4: no"), 2, "error: a\\x1b[2J\\r\\u202e.mp4: no"),
        (OSError(errno.ELOOP, "Too many links", "x/y"), 2, "error: x/y: Too many links; choose another path"),
    ],
)
def test_a_foreseen_error_is_one_line(
    error: Exception, code: int, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert run_to_the_end(fail) == code
    assert capfd.readouterr().err == f"{line}\n"


def test_an_error_that_nobody_foresaw_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_to_the_end(lambda: 1 // 0)


@pytest.mark.parametrize(
    "words", ["sync a b -o c --crff 3", "sync a b", "sync a b -o c --crf 99", "synk", "sync a b c -o d"]
)
def test_a_command_that_cannot_be_understood_is_bad_input(words: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_to_the_end(lambda: app(words.split())) == 2
    told = capfd.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1


def test_warnings_of_the_library_and_of_python_reach_a_pipe() -> None:
    ended = subprocess.run([sys.executable, "-c", WARNS], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines() == [
        "warning: GPU memory runs short: 1 window [batch]",
        "warning: this way is old (FutureWarning)",
    ]
    assert ended.stdout == ""
