"""What is imported is declared, and what is declared is imported."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("latentsync", "tasks", "flows", "configs")
# InsightFace's models are not for commerce, so users install it themselves; triton comes with a CUDA build of torch.
NOT_OURS_TO_DECLARE = {"insightface", "onnxruntime", "triton"}
NOT_IMPORTED = {"fastapi", "sqlalchemy", "nvidia-ml-py"}  # bounds on what Prefect brings; by name, if there

BARE_MACHINE = """
import sys
for name in ("prefect", "dask", "mediapipe", "ffmpeg", "av", "transformers", "fsspec", "httpx"):
    sys.modules[name] = None  # importing it raises ImportError

import tempfile
from pathlib import Path

import pytest

from flows.cli.bench import bench
from flows.cli.bench_clip import FPS, BenchClip
from latentsync.engines.diffusion.engine import LatentSyncEngine
from latentsync.engines.diffusion.spec import LATENTSYNC, LatentSyncSettings
from latentsync.segments.faces import generate_faces

settings = LatentSyncSettings(device="cpu", dtype="float32", steps=1, guidance_scale=1.0)
engine = LatentSyncEngine.random(settings, size="tiny", resolution_px=64)
with tempfile.TemporaryDirectory() as folder:
    clip = BenchClip(Path(folder), 16, 64, LATENTSYNC.alignment)
    voice = Path(folder) / "voice.npy"
    import numpy
    numpy.save(voice, numpy.zeros((40, 5, 32), numpy.float32))
    session = engine.session(voice, FPS, clip.context())
    print(len([*generate_faces(clip.source(), session, 0, 16, 1)]))
"""


def imported_modules() -> set[str]:
    """Top-level modules of others that our packages import, at any depth."""
    found = set()
    for path in (file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - {*PACKAGES}


def declared_distributions() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    used = [requirement for name in ("gpu", "dask", "mark", "sftp") for requirement in extras[name]]
    wanted = [*project["dependencies"], *used]  # fsspec loads s3fs, gcsfs and adlfs by name
    return {_normal(re.split(r"[^\w.-]", requirement)[0]) for requirement in wanted}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_declared_is_what_is_imported():
    distributions = packages_distributions()
    imported = {
        module: {_normal(name) for name in distributions[module]} for module in imported_modules() - NOT_OURS_TO_DECLARE
    }
    declared = declared_distributions()
    assert {module for module, names in imported.items() if not names & declared} == set()
    assert declared - set().union(*imported.values()) == NOT_IMPORTED


@pytest.mark.slow
def test_generating_and_bench_need_torch_and_little_else():
    """A GPU machine has neither Prefect, ffmpeg, mediapipe nor transformers."""
    ended = subprocess.run([sys.executable, "-c", BARE_MACHINE], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "16\n"
