"""Running ffmpeg: wide pipes, a drained stderr, time limits, errors that say what happened."""

import contextlib
import fcntl
import re
import resource
import signal
import threading
from collections import deque
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from latentsync.errors import InputError, LipsyncError, TransientError
from latentsync.media.child import Watchdog, start_child
from latentsync.storage.disks import paced

PIPE_BYTES = 1 << 20  # Linux's default limit for an unprivileged pipe; +20-25 % over 64 KiB
COMPLAINT_LINES = 5
# What ffmpeg says of a frame that it decoded with errors (from 5.1 on), and of a packet that it could not decode.
DAMAGE = re.compile(r"corrupt decoded frame|Error while decoding stream|Error submitting packet to decoder")
STILL_SECONDS = 60.0  # without any work done: then it will never do any
PROBE_STILL_SECONDS = 15.0  # somebody waits for the answer
# Of ffprobe, which reads headers only: 0.1 s and 30 MiB for hours of video.
FFPROBE_LIMITS = {"RLIMIT_CPU": 10, "RLIMIT_DATA": 512 << 20}
ADDRESS = re.compile(r" @ 0x[0-9a-f]+")  # of ffmpeg's objects: nothing to the reader
QUIET = ("-nostdin", "-hide_banner", "-v", "error")
WATCHFUL = ("-nostdin", "-hide_banner", "-v", "repeat+level+warning")  # says of each frame that it is damaged
REPRODUCIBLE = {"fflags": "+bitexact"}  # no random ids or dates in the file: equal work, equal digest


class Ffmpeg:
    """A running ``ffmpeg`` (or ``ffprobe``); leaving the ``with`` block ends and reaps it.

    ``file`` is named in errors; ``blame`` is the error for an exit status that is not zero: the
    input's fault when decoding, ours when encoding. One that stands still is killed:
    InputError when ``probing``, else TransientError. ``writes`` is the file that it writes: on a disk
    with limits it is slowed down to them.
    """

    def __init__(
        self,
        command: Sequence[str],
        file: Path,
        *,
        stdin: bool = False,
        stdout: bool = False,
        blame: type[LipsyncError] = InputError,
        probing: bool = False,
        writes: Path | None = None,
    ):
        self.file, self.blame, self.probing = file, blame, probing
        self._process = start_child(command, stdin=stdin, stdout=stdout)
        self._pace = paced(self._process.pid, writes)
        self._pace.__enter__()
        if command[0] == "ffprobe":
            _limit(self._process.pid)
        self._watchdog = Watchdog(self._process, PROBE_STILL_SECONDS if probing else STILL_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            _widen(pipe)
        self._lines: deque[str] = deque(maxlen=COMPLAINT_LINES)
        self._damaged = 0
        self._drain = threading.Thread(target=self._read_stderr, daemon=True)
        self._drain.start()

    def _read_stderr(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            text = ADDRESS.sub("", line.decode(errors="replace").rstrip())
            self._damaged += bool(DAMAGE.search(text))
            if "[warning]" not in text:
                self._lines.append(text.replace("[error] ", ""))

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
        if self._watchdog.has_killed:
            error = InputError if self.probing else TransientError
            return error(f"{message} (it did nothing for {self._watchdog.seconds:.0f} s and was killed)")
        if status == -signal.SIGXCPU:
            return self.blame(f"{message} (it needs more than {FFPROBE_LIMITS['RLIMIT_CPU']} s to be opened)")
        if status < 0:
            return TransientError(f"{message} (killed by signal {-status}: out of memory, or stopped from outside)")
        if "No space left on device" in said:
            return TransientError(f"{message} (free some disk space, then run again)")
        return (blame or self.blame)(message)

    def damaged(self) -> int:
        """How many frames, or packets of sound, could not be decoded well. Waits for the end."""
        self._process.wait()
        self._drain.join()
        return self._damaged

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
        self._pace.__exit__(None, None, None)
        self._watchdog.stop()
        self._drain.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def run(
    command: Sequence[str],
    file: Path,
    blame: type[LipsyncError] = InputError,
    *,
    probing: bool = False,
    writes: Path | None = None,
) -> str:
    """Run to the end and return what it printed; errors as in ``Ffmpeg.finish``."""
    with Ffmpeg(command, file, stdout=True, blame=blame, probing=probing, writes=writes) as process:
        printed = process.stdout.read().decode(errors="replace")
        process.finish()
    return printed


def _limit(pid: int) -> None:
    if hasattr(resource, "prlimit"):  # Linux
        with contextlib.suppress(ProcessLookupError):
            for name, limit in FFPROBE_LIMITS.items():
                resource.prlimit(pid, getattr(resource, name), (limit, limit))


def _widen(pipe: IO[bytes] | None) -> None:
    setting = getattr(fcntl, "F_SETPIPE_SZ", None)
    if pipe and setting:
        # Refused when one user's pipes together pass fs.pipe-user-pages-soft: then slower, not wrong.
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, setting, PIPE_BYTES)


@cache
def ffmpeg_version() -> str:
    """What ffmpeg says of itself, such as ``5.1.9-0+deb12u1``; raises ``InputError`` without ffmpeg."""
    words = run(["ffmpeg", "-version"], Path("ffmpeg")).split(maxsplit=3)
    return words[2] if len(words) > 2 else ""
