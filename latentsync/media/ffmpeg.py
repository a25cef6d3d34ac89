"""Running ffmpeg: wide pipes, a drained stderr, no process left behind, errors that say what happened."""

import contextlib
import fcntl
import re
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from latentsync.errors import InputError, LipsyncError, TransientError

PIPE_BYTES = 1 << 20  # Linux's default limit for an unprivileged pipe; +20-25 % over 64 KiB
COMPLAINT_LINES = 5
ADDRESS = re.compile(r" @ 0x[0-9a-f]+")  # of ffmpeg's objects: nothing to the reader
QUIET = ("-nostdin", "-hide_banner", "-v", "error")
REPRODUCIBLE = {"fflags": "+bitexact"}  # no random ids or dates in the file: equal work, equal digest


class Ffmpeg:
    """A running ``ffmpeg`` (or ``ffprobe``); leaving the ``with`` block ends and reaps it.

    ``file`` is named in errors; ``blame`` is the error for an exit status that is not zero: the
    input's fault when decoding, ours when encoding.
    """

    def __init__(
        self,
        command: Sequence[str],
        file: Path,
        *,
        stdin: bool = False,
        stdout: bool = False,
        blame: type[LipsyncError] = InputError,
    ):
        self.file, self.blame = file, blame
        self._process = _start(command, stdin, stdout)
        for pipe in (self._process.stdin, self._process.stdout):
            _widen(pipe)
        self._lines: deque[str] = deque(maxlen=COMPLAINT_LINES)
        self._drain = threading.Thread(target=self._read_stderr, daemon=True)
        self._drain.start()

    def _read_stderr(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self._lines.append(ADDRESS.sub("", line.decode(errors="replace").rstrip()))

    @property
    def stdin(self) -> IO[bytes]:
        """Where raw frames go in."""
        assert self._process.stdin
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Where raw frames or text come out."""
        assert self._process.stdout
        return self._process.stdout

    def finish(self) -> None:
        """Wait for the end; raise TransientError when killed or out of disk, ``blame`` otherwise."""
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.close()
        status = self._process.wait()
        if status:
            raise self.error(f"ffmpeg stopped with status {status}")

    def error(self, what: str, blame: type[LipsyncError] | None = None) -> LipsyncError:
        """The error for ``what``, chosen by how ffmpeg ended and completed by what it said."""
        status = self._process.wait()
        said = self.complaint() or "nothing"
        message = f"{self.file}: {what}; ffmpeg said: {said}"
        if status < 0:
            return TransientError(f"{message} (killed by signal {-status}: out of memory, or stopped from outside)")
        if "No space left on device" in said:
            return TransientError(f"{message} (free some disk space, then run again)")
        return (blame or self.blame)(message)

    def complaint(self) -> str:
        """The last lines of ffmpeg's stderr; complete once it has ended."""
        if self._process.poll() is not None:
            self._drain.join()
        return " | ".join(self._lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._drain.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def run(command: Sequence[str], file: Path, blame: type[LipsyncError] = InputError) -> str:
    """Run to the end and return what it printed; errors as in ``Ffmpeg.finish``."""
    with Ffmpeg(command, file, stdout=True, blame=blame) as process:
        printed = process.stdout.read().decode(errors="replace")
        process.finish()
    return printed


def _start(command: Sequence[str], stdin: bool, stdout: bool) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise InputError(f"{command[0]} is not installed; install it with: apt-get install ffmpeg") from error
    except OSError as error:
        raise TransientError(f"{command[0]} could not be started: {error}") from error


def _widen(pipe: IO[bytes] | None) -> None:
    setting = getattr(fcntl, "F_SETPIPE_SZ", None)
    if pipe and setting:
        # Refused when one user's pipes together pass fs.pipe-user-pages-soft: then slower, not wrong.
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, setting, PIPE_BYTES)
