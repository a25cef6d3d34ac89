"""``weights.json``: what cannot be seen from the tensors of a folder of weights."""

import json
from pathlib import Path
from typing import Any

from latentsync.errors import WeightsError

MANIFEST = "weights.json"


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, {} when it has none; raises ``WeightsError`` for one that is no JSON object."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        manifest = json.loads(path.read_text())
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict):
        raise WeightsError(f'{path} holds no JSON object such as {{"resolution_px": 512}}: correct it')
    return manifest


def pin_resolution(folder: Path, resolution_px: int) -> None:
    """Write down what the weights in ``folder`` were made for; the rest of the manifest stays."""
    manifest = {**read_manifest(folder), "resolution_px": resolution_px}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
