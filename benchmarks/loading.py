"""Peak memory and time of loading, and converting, a full-size UNet from a published file.

    python benchmarks/loading.py [--file latentsync_unet.pt]

Without --file, a random file of the published form (fp32, 5 GB) is written to a temporary folder first.
Every figure comes from a process of its own; "imported" is that process before it opens the file.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

UNET_NUMBERS = 1_267_944_644  # 1,267,099,844 parameters and the tables of positions

MEASURE = """
import sys, time, torch
from pathlib import Path
from latentsync.engines.diffusion.checkpoints import convert, load_unet

def peak_bytes():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

work, source, dtype = sys.argv[1], Path(sys.argv[2]), getattr(torch, sys.argv[3])
load_unet  # imported
before, start = peak_bytes(), time.perf_counter()
if work == "load":
    unet = load_unet(source, {}, dtype=dtype)
else:
    convert(source.parent, source.parent / "latentsync_unet.safetensors", dtype)
print(before, peak_bytes(), time.perf_counter() - start)
"""


def measure(work: str, source: Path, dtype: str) -> None:
    """Print one line: what the process held before, at its peak, and in relation to the weights."""
    command = [sys.executable, "-c", MEASURE, work, str(source), dtype]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    before, peak, seconds = int(output[0]), int(output[1]), float(output[2])
    size = UNET_NUMBERS * getattr(torch, dtype).itemsize
    print(
        f"{work:8} {source.name:28} -> {dtype:9} {size / 1e9:5.2f} GB of weights | imported {before / 1e9:.2f} GB, "
        f"peak {peak / 1e9:5.2f} GB = {peak / size:.2f} x | {seconds:5.1f} s",
        flush=True,
    )


def write_random(path: Path) -> None:
    """A file of the published form with random numbers."""
    from latentsync.engines.diffusion.random_weights import random_unet

    torch.save({"global_step": 0, "state_dict": random_unet("full").state_dict()}, path)


def main() -> None:
    """Measure loading in fp32 and bf16, converting, and loading what was converted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, help="a published latentsync_unet.pt")
    given = parser.parse_args().file
    with tempfile.TemporaryDirectory(dir=given.parent if given else None) as name:
        folder = Path(name)
        source = folder / "latentsync_unet.pt"
        start = time.perf_counter()
        if given:
            source.symlink_to(given.absolute())
        else:
            write_random(source)
        print(f"{source.stat().st_size / 1e9:.2f} GB file ready after {time.perf_counter() - start:.0f} s")
        (folder / "weights.json").write_text('{"resolution_px": 512}')
        measure("load", source, "float32")
        measure("load", source, "bfloat16")
        measure("convert", source, "bfloat16")
        measure("load", folder / "latentsync_unet.safetensors", "bfloat16")


if __name__ == "__main__":
    main()
