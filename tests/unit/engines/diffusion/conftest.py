"""What tests of weights share."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """A test's own copy of its module's ``pristine`` weights."""
    return Path(shutil.copytree(pristine, tmp_path / "weights"))
