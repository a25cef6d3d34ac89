"""`lipsync verify`: does a file say that a model altered it, and is its signature still good."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from latentsync.errors import one_line
from latentsync.stitching.verify import Credentials, Origin
from latentsync.stitching.verify import verify as look

VALID, INVALID, UNSIGNED = 0, 1, 3  # exit codes; 2 is bad input, as everywhere


def verify(file: Annotated[Path, Parameter(help="Video file")], /) -> None:
    """Print what the file says of its origin, and exit with the verdict's code."""
    console = Console(highlight=False, soft_wrap=True)
    origin = look(file)
    console.print(one_line(f"{file}: {_verdict(origin)}"), markup=False)
    console.print(f"metadata: {'altered by a model (IPTC)' if origin.metadata.altered else 'say nothing of a model'}")
    if origin.metadata.aigc is not None:
        console.print(one_line(f"AIGC tag: {origin.metadata.aigc}"), markup=False)
    sys.exit(_code(origin.credentials))


def _verdict(origin: Origin) -> str:
    found = origin.credentials
    if found is None:
        return "no signature (C2PA)" if origin.metadata.altered or origin.metadata.aigc else "unmarked"
    if found.state == "Invalid":
        return f"Invalid: changed after it was signed, or damaged ({', '.join(found.problems)})"
    when = f" at {found.signed_at}" if found.signed_at else ""
    return f"Valid: signed by {found.signer}{when}"


def _code(found: Credentials | None) -> int:
    if found is None:
        return UNSIGNED
    return INVALID if found.state == "Invalid" else VALID
