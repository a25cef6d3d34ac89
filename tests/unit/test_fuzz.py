"""The fuzzer itself: its cases are the same every time, and a few of them end well."""

import random
from pathlib import Path

import pytest

from benchmarks import fuzz


@pytest.mark.parametrize("name", ["a.mp4", "a.wav"])
def test_a_few_cases_end_well(tmp_path: Path, name: str):
    whole = fuzz._whole(tmp_path, name).read_bytes()
    path = tmp_path / f"mutated{Path(name).suffix}"
    for case in range(1, 5):
        data = fuzz.mutated(whole, random.Random(f"{name} {case}"))
        assert data == fuzz.mutated(whole, random.Random(f"{name} {case}"))
        path.write_bytes(data)
        assert not fuzz._tried(path, case).startswith("failed")
