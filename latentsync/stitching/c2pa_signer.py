"""The process that signs: it alone loads the C2PA library, whose memory (about 0.5 GiB) goes with it.

Reads a request (JSON) on stdin, and writes the signed copy of a file; a failure is one line on stderr.
"""

import json
import sys
from pathlib import Path

import c2pa
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

_EC_ALGORITHMS = {256: "es256", 384: "es384", 521: "es512"}


def sign(request: dict) -> None:
    """Write ``out``: the file ``unsigned`` with a manifest, whose parent is the file ``parent``."""
    builder = _builder(request["manifest"], request["title"], Path(request["parent"]))
    signer = _signer(Path(request["certificate"]), Path(request["key"]), request["timestamp_url"])
    mime_type = Path(request["out"]).suffix.lstrip(".").lower()
    with open(request["unsigned"], "rb") as unsigned, open(request["out"], "w+b") as out:
        builder.sign(signer, mime_type, unsigned, out)


def _builder(manifest: dict, title: str, parent: Path) -> c2pa.Builder:
    """A manifest on top of the parent's own, in formats that can carry one; else the parent is only named."""
    ingredient = {"title": title, "relationship": "parentOf"}
    suffix = parent.suffix.lstrip(".").lower()
    if suffix not in c2pa.Builder.get_supported_mime_types():
        builder = c2pa.Builder({**manifest, "ingredients": [ingredient]})
    else:
        builder = c2pa.Builder(manifest)
        with open(parent, "rb") as file:
            builder.add_ingredient(ingredient, suffix, file)
    builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
    return builder


def _signer(certificate: Path, key: Path, timestamp_url: str) -> c2pa.Signer:
    private = load_pem_private_key(key.read_bytes(), None)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    info = c2pa.C2paSignerInfo(_algorithm(private), certificate.read_bytes(), pem, timestamp_url or None)
    return c2pa.Signer.from_info(info)


def _algorithm(key: object) -> str:
    """The algorithm of C2PA's list that goes with a key."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size in _EC_ALGORITHMS:
        return _EC_ALGORITHMS[key.key_size]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise ValueError("C2PA signs with EC keys on P-256, P-384 or P-521, with Ed25519 and RSA keys")


if __name__ == "__main__":
    try:
        sign(json.load(sys.stdin))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
