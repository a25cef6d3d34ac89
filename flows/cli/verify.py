"""`lipsync verify`: does a file say that a model altered it, and is that signature still good."""

from pathlib import Path

from latentsync.stitching.verify import Origin, verify

VALID, INVALID, UNSIGNED = 0, 1, 3  # exit codes; 2 is bad input, as everywhere


def verify_file(path: Path) -> int:
    """Print what the file says of its origin; return the exit code."""
    origin = verify(path)
    print(f"{path}: {_verdict(origin)}")
    print(f"metadata: {'altered by a model (IPTC)' if origin.metadata.altered else 'say nothing of a model'}")
    if origin.metadata.aigc is not None:
        print(f"AIGC tag: {origin.metadata.aigc}")
    if origin.credentials is None:
        return UNSIGNED
    return INVALID if origin.credentials.state == "Invalid" else VALID


def _verdict(origin: Origin) -> str:
    found = origin.credentials
    if found is None:
        return "no signature (C2PA)" if origin.metadata.altered or origin.metadata.aigc else "unmarked"
    if found.state == "Invalid":
        return f"Invalid: changed after it was signed, or damaged ({', '.join(found.problems)})"
    when = f" at {found.signed_at}" if found.signed_at else ""
    return f"Valid: signed by {found.signer}{when}"
