"""Where does a file come from: its content credentials and the marks in its metadata."""

from pathlib import Path
from typing import Any, Literal

from latentsync.errors import InputError
from latentsync.media.container import describe
from latentsync.records import Record
from latentsync.stitching.mark import MetadataMark, read_mark
from latentsync.stitching.sign import INSTALL

# Nothing but the file is read: no manifest from the network, no list of certificates to trust.
_SETTINGS = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


class Credentials(Record):
    """What a C2PA manifest is worth. ``state`` is Invalid when a single byte that it covers was changed."""

    state: Literal["Valid", "Trusted", "Invalid"]
    signer: str | None  # as the certificate names him; whether to trust it is the reader's to judge
    signed_at: str | None  # by a time stamp authority
    problems: tuple[str, ...] = ()


class Origin(Record):
    """All that a file says of its origin."""

    credentials: Credentials | None
    metadata: MetadataMark


def verify(path: Path) -> Origin:
    """Look at a media file. Raises InputError when it cannot be read, or c2pa-python is missing."""
    describe(path)  # refuses what is no media file
    return Origin(credentials=_credentials(path), metadata=read_mark(path))


def _credentials(path: Path) -> Credentials | None:
    try:
        import c2pa
    except ImportError as error:
        raise InputError(f"{path}: content credentials cannot be verified: {error}; {INSTALL}") from error
    try:
        with c2pa.Context.from_dict(_SETTINGS) as context:
            reader = c2pa.Reader.try_create(path, context=context)
            return _read(reader) if reader else None
    except c2pa.C2paError.NotSupported:  # such as Matroska: it has no place for a manifest
        return None
    except c2pa.C2paError as error:
        return Credentials(state="Invalid", signer=None, signed_at=None, problems=(str(error),))


def _read(reader: Any) -> Credentials:
    signature = (reader.get_active_manifest() or {}).get("signature_info", {})
    failures = (reader.get_validation_results() or {}).get("activeManifest", {}).get("failure", [])
    names = [signature[name] for name in ("common_name", "issuer") if signature.get(name)]
    return Credentials(
        state=reader.get_validation_state(),
        signer=", ".join(names) or None,
        signed_at=signature.get("time"),
        problems=tuple(failure["code"] for failure in failures if failure["code"] != "signingCredential.untrusted"),
    )
