from pathlib import Path

import pytest

from latentsync.errors import InputError, InternalError, TransientError
from latentsync.media.ffmpeg import QUIET, Ffmpeg, run
from tests.processes import ffmpeg_children

PICTURES = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-t", "60"]


def test_a_missing_program_says_how_to_install_it():
    with pytest.raises(InputError, match="no-such-ffmpeg is not installed; install it with: apt-get"):
        run(["no-such-ffmpeg"], Path("a.mp4"))


def test_a_full_disk_is_worth_a_retry():
    command = ["ffmpeg", *QUIET, "-y", *PICTURES, "-f", "rawvideo", "/dev/full"]
    with pytest.raises(TransientError, match="free some disk space"):
        run(command, Path("clip.mkv"), InternalError)


def test_a_failure_names_the_file_and_quotes_ffmpeg():
    with pytest.raises(InternalError, match=r"clip\.mkv: ffmpeg stopped with status 1; .*Unknown encoder 'none'"):
        run(["ffmpeg", *QUIET, *PICTURES, "-c:v", "none", "-f", "null", "-"], Path("clip.mkv"), InternalError)


def test_a_talkative_ffmpeg_does_not_stall():
    """More than a pipe's worth of complaints, none of which is read before the end."""
    command = ["ffmpeg", "-v", "trace", *PICTURES, "-c:v", "rawvideo", "-f", "null", "-"]
    assert run(command, Path("clip.mkv")) == ""


def test_leaving_the_block_ends_the_process():
    command = ["ffmpeg", *QUIET, *PICTURES, "-f", "rawvideo", "-"]
    with Ffmpeg(command, Path("clip.mkv"), stdout=True) as process:
        assert process.stdout.read(1)
        (running,) = ffmpeg_children()
    assert not running.is_running()
