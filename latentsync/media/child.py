"""Child processes that end with us: none outlives this process, and none that stands still holds it up."""

import fcntl
import os
import shutil
import subprocess
import termios
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import psutil

from latentsync.errors import InputError, TransientError

CHECK_SECONDS = 1.0
# Linux kills a child when the thread that started it ends, so one thread that stays starts them all.
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")


def start_child(command: Sequence[str], *, stdin: bool, stdout: bool) -> subprocess.Popen[bytes]:
    """Start ``command`` with a pipe for stderr, and for stdin and stdout as asked.

    It stays in our process group and, on Linux, is killed when we are. Raises InputError when the
    program is not installed, TransientError when the machine cannot start it.
    """
    program = shutil.which(command[0])
    if program is None:
        raise InputError(f"{command[0]} is not installed; install it with: apt-get install ffmpeg")
    tied = DIES_WITH_US if shutil.which(DIES_WITH_US[0]) else ()

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*tied, program, *command[1:]],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    try:
        return _starter.submit(start).result()
    except OSError as error:
        raise TransientError(f"{command[0]} could not be started: {error}") from error


def _new_starter() -> None:
    global _starter
    _starter = ThreadPoolExecutor(1, thread_name_prefix="child-starter")


_new_starter()
os.register_at_fork(after_in_child=_new_starter)


class Watchdog:
    """Kills ``process`` once it has stood still for ``seconds``; ``stop`` ends the watch.

    It stands still while it has something to do (bytes wait in its stdin, or none in its stdout) and uses
    no processor time: stopped, or waiting for a file that never answers. Checks are counted, not time, so
    that a machine put to sleep is no reason to kill.
    """

    def __init__(self, process: subprocess.Popen[bytes], seconds: float):
        self.seconds, self.has_killed = seconds, False
        self._process = process
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch; the process is left alone from here on."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        still, used = 0.0, None
        try:
            clock = psutil.Process(self._process.pid)
            while not self._stopped.wait(CHECK_SECONDS):
                times = clock.cpu_times()
                now = times.user + times.system
                still = still + CHECK_SECONDS if now == used and self._owes_us() else 0.0
                used = now
                if still >= self.seconds:
                    self.has_killed = True
                    self._process.kill()
                    return
        except psutil.NoSuchProcess:
            return

    def _owes_us(self) -> bool:
        stdin, stdout = self._process.stdin, self._process.stdout
        has_input = stdin is None or stdin.closed or _waiting_bytes(stdin) > 0
        has_room = stdout is None or _waiting_bytes(stdout) == 0
        return has_input and has_room


def _waiting_bytes(pipe: IO[bytes]) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), "little")
