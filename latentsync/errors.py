"""The error tree. It is also the retry policy.

LipsyncError
├── InputError      the user's file or setting is wrong: told at once, never retried
│   └── UnusableFile    no setting helps: the video or sound itself must be another one
├── SegmentsFailed  some segments failed for good; the others are done and kept
├── WeightsError    model weights are missing, incomplete or of another shape: never retried
├── TransientError  the machine was short of something for a while: retried with back-off
└── InternalError   one of our own promises is broken: stop, never retried

Every message names the file, the value, the limit and the remedy.
"""


def one_line(text: str) -> str:
    """``text`` with line ends, escape sequences and the like escaped: names of files may hold any.

    A terminal would obey them, and a log would show lines that nobody wrote.
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class LipsyncError(Exception):
    """Anything that this package raises on purpose; its message is one line."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class InputError(LipsyncError):
    """An input file, setting or destination that cannot work; the user must change it."""


class UnusableFile(InputError):
    """A video or sound that no job can use (not there, damaged, no face): tried again when another one is there."""


class SegmentsFailed(LipsyncError):
    """Tasks of segments that failed for good; ``reasons`` maps the task's name to the reason."""

    def __init__(self, reasons: dict[str, str], run_id: str) -> None:
        self.reasons = reasons
        listing = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        super().__init__(
            f"{len(reasons)} tasks failed, what is done is kept: {listing}. To redo only these: lipsync rerun {run_id}"
        )


class BelowGate(LipsyncError):
    """Segments that are not good enough, with ``score.gate = fail``; ``below`` says by index what is not."""

    def __init__(self, below: dict[int, tuple[str, ...]]) -> None:
        self.below = below
        listing = "; ".join(f"segment {index}: {', '.join(what)}" for index, what in below.items())
        super().__init__(
            f"{len(below)} segments are below the limits of score, so no output was written: {listing}. "
            "To get it all the same, run again with score.gate = warn, or with other limits"
        )


class WeightsError(LipsyncError):
    """Model weights that are missing, incomplete or made for something else."""


class TransientError(LipsyncError):
    """A shortage that may pass (GPU memory, a killed ffmpeg, a full disk, the network)."""


class InternalError(LipsyncError):
    """A broken promise of this package: a frame too many, a digest that does not agree."""
