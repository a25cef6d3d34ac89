"""What the README tells people to type works, on a short clip. A command added to it is run here as it stands."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Clip
from tests.unit.engines.diffusion.weights_on_disk import write_tiny_weights

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    re.sub(r"\s+# .*", "", line).strip()
    for block in re.findall(r"^```bash\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
# What can only be tried in part here: what is set for it, the exit code, and what it says.
IN_PART = {
    ".venv/bin/lipsync weights fetch weights/": ({"HF_HUB_OFFLINE": "1"}, 2, "HF_HUB_OFFLINE forbids it"),
    ".venv/bin/lipsync sync video.mp4 voice.wav -o out.mp4 --engine latentsync --weights weights/": (
        {"CUDA_VISIBLE_DEVICES": ""}, 2, "needs a CUDA GPU",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(short_clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would stand: an environment, a video, a voice and weights."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / ".venv").symlink_to(sys.prefix)
    shutil.copy(short_clip.video, folder / "video.mp4")
    shutil.copy(short_clip.voice, folder / "voice.wav")
    write_tiny_weights(folder / "weights")
    return folder


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_make_knows_the_target(command: str) -> None:
    """Making them is what `make` is for: here only that there is such a target."""
    subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("make ")])
def test_a_command_does_what_the_readme_says(command: str, folder: Path) -> None:
    variables, code, said = IN_PART.get(command, ({}, 0, ""))
    home = {"HOME": str(folder), "COLUMNS": "200"}  # caches and settings of its own
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env={**os.environ, **home, **variables}, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stderr
    assert "Warning" not in done.stderr
    if "-o out.mp4" in command:
        assert (folder / "out.mp4").is_file()


def test_every_option_that_the_readme_names_is_one() -> None:
    lipsync = Path(sys.executable).with_name("lipsync")
    commands = (["sync"], ["rerun"], ["worker"], ["bench"], ["weights", "fetch"], ["verify"], ["plan"], [])
    pages = [
        subprocess.run([lipsync, *command, "--help"], check=True, capture_output=True, text=True).stdout
        for command in commands
    ]
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", re.sub(r"`(?:pip|docker|make)[^`]*`", "", README)))
    known = set(re.findall(r"--[a-z][a-z0-9-]+", "\n".join(pages)))
    assert named - known == set()
