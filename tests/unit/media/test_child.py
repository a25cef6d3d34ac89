"""A child that stands still is ended, a slow one is not, and none outlives us."""

import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import psutil
import pytest

from latentsync.errors import InputError, TransientError
from latentsync.media import child
from latentsync.media import ffmpeg as running
from latentsync.media.decode import read_range
from latentsync.media.encode import VideoClipWriter
from latentsync.media.ffmpeg import QUIET, Ffmpeg, run
from latentsync.media.probe import probe_video
from latentsync.settings import EncodeSettings
from tests.processes import ffmpeg_children

PICTURES = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25"]
ENDLESS = ["ffmpeg", *QUIET, "-re", *PICTURES, "-f", "null", "-"]


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(child, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(running, "STILL_SECONDS", 0.5)
    monkeypatch.setattr(running, "PROBE_STILL_SECONDS", 0.5)


@pytest.mark.parametrize(("probing", "error"), [(True, InputError), (False, TransientError)])
def test_a_file_that_never_answers_is_given_up(impatient, tmp_path, probing, error):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(error, match=r"did nothing for .* was killed"):
        run(["ffmpeg", *QUIET, "-i", str(tmp_path / "pipe"), "-f", "null", "-"], tmp_path / "pipe", probing=probing)
    assert not ffmpeg_children()


def test_a_stopped_encoder_is_given_up(impatient, silent, tmp_path):
    video = probe_video(silent, Fraction(25))
    (frame,) = read_range(video, 0, 1)

    def encode_until_it_stops() -> None:
        with VideoClipWriter(tmp_path / "clip.mp4", video, 10_000, EncodeSettings()) as clip:
            clip.write(frame)
            while not (encoders := ffmpeg_children()):  # its starter has not become it yet
                clip.write(frame)
            (encoder,) = encoders
            encoder.send_signal(signal.SIGSTOP)
            for _ in range(9_000):
                clip.write(frame)

    with pytest.raises(TransientError, match="did nothing"):
        encode_until_it_stops()
    assert not ffmpeg_children()
    assert not list(tmp_path.iterdir())


def test_one_that_waits_for_us_is_not(impatient):
    """Nobody reads the one's pictures, and nobody gives the other any."""
    decode = ["ffmpeg", *QUIET, *PICTURES, "-f", "rawvideo", "-"]
    encode = ["ffmpeg", *QUIET, "-f", "rawvideo", "-s", "320x240", "-pix_fmt", "gray", "-i", "-", "-f", "null", "-"]
    with Ffmpeg(decode, Path("a"), stdout=True) as reader, Ffmpeg(encode, Path("b"), stdin=True) as writer:
        for process in (reader, writer):
            process._watchdog._thread.join(timeout=1.0)
            assert process._process.poll() is None


STARTS_A_CHILD_AND_GOES_ON = """
import sys, threading
from latentsync.media.child import start_child
def start():
    print(start_child(sys.argv[1:], stdin=False, stdout=False).pid, flush=True)
thread = threading.Thread(target=start)
thread.start()
thread.join()
sys.stdin.read()
"""


def test_kill_9_of_us_ends_the_child_and_the_end_of_a_thread_does_not():
    command = [sys.executable, "-c", STARTS_A_CHILD_AND_GOES_ON, *ENDLESS]
    ours = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert ours.stdout
    theirs = psutil.Process(int(ours.stdout.readline()))
    assert theirs.ppid() == ours.pid
    assert os.getpgid(theirs.pid) == os.getpgid(ours.pid)
    with pytest.raises(psutil.TimeoutExpired):
        theirs.wait(timeout=0.5)
    ours.kill()
    ours.wait()
    psutil.wait_procs([theirs], timeout=15)
    assert not theirs.is_running() or theirs.status() == psutil.STATUS_ZOMBIE
