"""`lipsync doctor`: what this machine can do, one line per fact, with the remedy where it cannot."""

import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import httpx

from flows.cli.shared_disks import shared_disks
from latentsync.records import Record
from latentsync.storage.bounded_file import BoundedFile
from latentsync.storage.throttle import MIB

if TYPE_CHECKING:
    import torch

Verdict = Literal["ok", "warn", "fail"]
Answer = tuple[Verdict, str, str]  # verdict, detail, remedy

_COMMAND_SECONDS = 60
_API_SECONDS = 3
_PROBE_MIB = 64
_FREE_GIB = 10  # ten minutes of 1080x1920 leave about this much behind in the work folder
_WRITE_MB_PER_SECOND = 50  # below, writing clips takes longer than making them
_ENCODERS = {  # name, options: what fails without it
    ("libx264", "-pix_fmt yuv420p"): "nothing can be encoded",
    ("libx264", "-pix_fmt yuv420p10le"): "10-bit video cannot be encoded",
    ("aac", ""): "sound cannot be encoded",
    ("libx265", "-pix_fmt yuv420p"): "",
    ("h264_nvenc", "-pix_fmt yuv420p"): "",
    ("hevc_nvenc", "-pix_fmt yuv420p"): "",
}
_INSTALL_FFMPEG = "install it with: apt-get install ffmpeg"
_FFMPEG_MIN = (5, 1)  # brought -fps_mode
_LOAD_FACE_MESH = """
import mediapipe
mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True).close()
print(mediapipe.__version__)
"""


class Finding(Record):
    """One fact about the machine; ``remedy`` is empty where none is needed."""

    name: str
    verdict: Verdict
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f" -> {self.remedy}" if self.remedy else ""
        return f"{self.verdict:4}  {self.name:22}  {self.detail}{remedy}"


def findings(work_dir: Path, weights: Path | None = None, output: str = "", profile: str = "ssd") -> list[Finding]:
    """Everything that a run needs, tried for real where that takes no more than seconds. Never raises."""
    return list(iterate(work_dir, weights, output, profile))


def iterate(work_dir: Path, weights: Path | None = None, output: str = "", profile: str = "ssd") -> Iterator[Finding]:
    """The same one by one, for a command that prints while it looks."""
    yield _tried("ffmpeg", _ffmpeg)
    for (encoder, options), loss in _ENCODERS.items():
        name = f"encoder {encoder}" + (" 10-bit" if "10le" in options else "")
        yield _tried(name, functools.partial(_encoder, encoder, options, loss))
    yield _tried("torch", _torch)
    yield _tried("GPU", _gpu)
    yield _tried("weights", functools.partial(_weights, weights))
    yield _tried("face mesh", _face_mesh)
    yield _tried("Prefect", _prefect)
    yield _tried("work folder", functools.partial(_disk, work_dir))
    if output:
        yield _tried("disks", functools.partial(shared_disks, work_dir, output, profile))


def _tried(name: str, check: Callable[[], Answer]) -> Finding:
    try:
        verdict, detail, remedy = check()
    except Exception as error:
        verdict, detail, remedy = _fail(f"{type(error).__name__}: {error}", "install this package again: pip install .")
    return Finding(name=name, verdict=verdict, detail=_one_line(detail), remedy=_one_line(remedy))


def _ok(detail: str) -> Answer:
    return "ok", detail, ""


def _warn(detail: str, remedy: str) -> Answer:
    return "warn", detail, remedy


def _fail(detail: str, remedy: str) -> Answer:
    return "fail", detail, remedy


def _ffmpeg() -> Answer:
    for program in ("ffmpeg", "ffprobe"):
        if not shutil.which(program):
            return _fail(f"{program} is not on the PATH", _INSTALL_FFMPEG)
    first = _run(["ffmpeg", "-version"]).stdout.split("\n")[0]
    version = re.match(r"ffmpeg version n?(\d+)\.(\d+)", first)  # none in nightly builds
    if version and (int(version[1]), int(version[2])) < _FFMPEG_MIN:
        return _fail(f"{first}: 5.1 or newer is needed", "use Debian 12, Ubuntu 24.04 or newer")
    return _ok(" ".join(first.split()[1:3]))


def _encoder(encoder: str, options: str, loss: str) -> Answer:
    """Encode one picture (or a tenth of a second of sound): that an encoder is listed means nothing."""
    if not shutil.which("ffmpeg"):
        return _fail("not tried: no ffmpeg", _INSTALL_FFMPEG)
    source = "sine=d=0.1" if encoder == "aac" else "color=gray:s=256x256:d=0.04:r=25"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", source, *options.split()]
    run = _run([*command, "-c", encoder, "-f", "null", "-"])
    if run.returncode == 0:
        return _ok("encodes")
    complaint = re.sub(r"\[.* @ 0x\w+\] ", "", run.stderr.strip().split("\n")[0])
    if loss:
        return _fail(f"{loss}: {complaint}", "use an ffmpeg that has it, such as Debian's or Ubuntu's")
    return _warn(f"not on this machine ({complaint})", f"none, unless you want --encoder {encoder}")


def _torch() -> Answer:
    import torch

    cuda = torch.version.cuda or "not built in"
    return _ok(f"{torch.__version__}, {torch.get_num_threads()} threads, CUDA {cuda}")


def _gpu() -> Answer:
    import torch

    if not torch.cuda.is_available():
        reason = "no CUDA GPU" if torch.version.cuda else "torch is built for the CPU"
        return _warn(f"{reason}: only the warp engine can run", "a CUDA GPU, its driver, and torch built for CUDA")
    return _ok("; ".join(_describe(torch.device("cuda", index)) for index in range(torch.cuda.device_count())))


def _describe(device: "torch.device") -> str:
    """A GPU, and how the latentsync engine would use it."""
    import torch

    from latentsync.engines.diffusion import fused
    from latentsync.engines.diffusion.device import pick_dtype

    gpu, dtype = torch.cuda.get_device_properties(device), pick_dtype("auto", device)
    refused = fused.refusal(device, dtype)
    path = f"the readable networks, for {refused}" if refused else "the fused networks"
    numbers = str(dtype).removeprefix("torch.")
    return f"{gpu.name}, SM {gpu.major}.{gpu.minor}, {gpu.total_memory / 2**30:.0f} GiB: {path} in {numbers}"


def _weights(folder: Path | None) -> Answer:
    if folder is None:
        return _warn("no folder given: only the warp engine can run", "give --weights DIR")
    from latentsync.engines.diffusion.checkpoints import check

    if findings := check(folder):
        return _fail("; ".join(findings), "lipsync weights fetch DIR downloads what is missing")
    return _ok(f"{folder} has all networks, names and shapes as they should be")


def _face_mesh() -> Answer:
    """Load mediapipe's model in a process of its own: on a wrong CPU it does not raise, it dies."""
    run = _run([sys.executable, "-c", _LOAD_FACE_MESH])
    if run.returncode == 0:
        return _ok(f"mediapipe {run.stdout.strip()} loads its face mesh")
    complaint = run.stderr.strip().split("\n")[-1] or f"the process ended with {run.returncode}"
    return _fail(f"mediapipe's face mesh does not load: {complaint}", "pip install mediapipe==0.10.14")


def _prefect() -> Answer:
    version = importlib.metadata.version("prefect")
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        return _ok(f"{version}, with a temporary server for each run")
    try:
        httpx.get(f"{url}/health", timeout=_API_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        return _fail(f"{version}, but {url} does not answer: {error}", "prefect server start, or unset PREFECT_API_URL")
    return _ok(f"{version}, server {url} answers")


def _disk(folder: Path) -> Answer:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        speed = _write_mb_per_second(folder)
        free_gib = shutil.disk_usage(folder).free / 2**30
    except OSError as error:
        return _fail(f"{folder} cannot be written: {error.strerror}", "choose another --work-dir")
    detail = f"{folder}: {free_gib:.0f} GiB free, writes {speed:.0f} MB/s"
    if free_gib < _FREE_GIB:
        return _warn(detail, f"free some: ten minutes of 1080x1920 take up to {_FREE_GIB} GiB")
    if speed < _WRITE_MB_PER_SECOND:
        return _warn(detail, "choose a faster disk as --work-dir")
    return _ok(detail)


def _write_mb_per_second(folder: Path) -> float:
    """Rate of 64 MiB that are really on the disk at the end."""
    block = memoryview(os.urandom(MIB))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".doctor-") as scratch:
        started = time.monotonic()
        path = Path(scratch) / "probe"
        with BoundedFile(path, dirty_bytes_max=16 * MIB) as file:
            for _ in range(_PROBE_MIB):
                file.write(block)
        with open(path, "rb") as written:
            os.fsync(written.fileno())
        return _PROBE_MIB * MIB / 1e6 / (time.monotonic() - started)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_COMMAND_SECONDS,
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
