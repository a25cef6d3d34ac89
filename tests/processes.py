"""What this test run has started."""

import psutil


def ffmpeg_children() -> list[psutil.Process]:
    """The ffmpeg processes of this run; Prefect's server may be a child of it, too."""
    return [child for child in psutil.Process().children() if child.name() == "ffmpeg"]
