"""Seconds from the start of a process to its first window on this GPU, with random weights in the published form.

Usage: python -m benchmarks.gpu_start [--scratch DIR]   (5.5 GB are written there)
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESOLUTION_PX = 512


def first_window(folder: Path, began: float) -> None:
    """Make one window as a job does: imports, voice, networks, faces; print when each was done.

    Where ``folder`` is missing, the weights are made on the GPU.
    """
    from flows.cli.bench_clip import FPS, BenchClip, random_voice
    from latentsync.engines.diffusion.engine import LatentSyncEngine
    from latentsync.engines.diffusion.spec import LATENTSYNC, LatentSyncSettings
    from latentsync.segments.faces import generate_faces

    done = {"imports": time.time() - began}
    settings = LatentSyncSettings(weights=folder)
    engine = (
        LatentSyncEngine.load(settings, resolution_px=RESOLUTION_PX)
        if folder.exists()
        else LatentSyncEngine.random(settings)
    )
    with tempfile.TemporaryDirectory() as name:
        clip = BenchClip(Path(name), 16, engine.resolution_px, LATENTSYNC.alignment)
        random_voice(engine, clip.frames, Path(name) / "voice.npy")
        done["voice and networks"] = time.time() - began
        session = engine.session(Path(name) / "voice.npy", FPS, clip.context())
        assert len(list(generate_faces(clip.source(), session, 0, clip.frames, 1))) == clip.frames
    print("   ".join(f"{what} {seconds:.1f} s" for what, seconds in done.items()), end="   ")
    print(f"first window {time.time() - began:.1f} s", flush=True)


def write_weights(folder: Path) -> None:
    """Random full-size weights as they are published: UNet and whisper as .pt, the VAE as safetensors."""
    from tests.unit.engines.diffusion.weights_on_disk import write_full_weights

    write_full_weights(folder, "cuda")


def convert_weights(folder: Path) -> None:
    """What `lipsync warm` does with them."""
    import torch

    from latentsync.engines.diffusion.converted import convert_once

    began = time.perf_counter()
    if convert_once(folder, torch.float16):
        print(f"converted in {time.perf_counter() - began:.1f} s", flush=True)


def main() -> None:
    """Write weights in one process, then make first windows in others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=Path, help="folder for the weights")
    with tempfile.TemporaryDirectory(dir=parser.parse_args().scratch) as name:
        folder, kernels = Path(name) / "weights", Path(name) / "kernels"
        print("nothing cached, weights made on the GPU: ", end="", flush=True)
        _run("window", folder, Path(name) / "other kernels")
        _run("write", folder, kernels)
        for what in ("nothing cached, weights as published", "kernels built", "kernels built, weights converted"):
            print(f"{what}: ", end="", flush=True)
            _run("window", folder, kernels)
            if what == "kernels built":
                _run("convert", folder, kernels)


def _run(what: str, folder: Path, kernels: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu_start", what, str(folder), str(time.time())]
    subprocess.run(command, check=True, env={**os.environ, "TRITON_CACHE_DIR": str(kernels)})


if __name__ == "__main__":
    if sys.argv[1:2] == ["window"]:
        first_window(Path(sys.argv[2]), float(sys.argv[3]))
    elif sys.argv[1:2] == ["write"]:
        write_weights(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["convert"]:
        convert_weights(Path(sys.argv[2]))
    else:
        main()
