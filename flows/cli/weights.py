"""`lipsync weights`: look at, convert and download the weights of LatentSync."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from latentsync.engines.settings import ENGINES
from latentsync.errors import InputError, WeightsError

weights = App(name="weights")
console = Console(highlight=False, soft_wrap=True)


class NumberFormat(StrEnum):
    """What the converted numbers are stored as."""

    FP16 = "float16"
    BF16 = "bfloat16"


@weights.command
def check(folder: Annotated[Path, Parameter(help="Folder with the weights")], /) -> None:
    """Compare every tensor's name and shape with what the model needs."""
    from latentsync.engines.diffusion.checkpoints import check as find_problems

    if problems := find_problems(folder):
        raise WeightsError("; ".join(problems))
    console.print(f"{folder}: complete")


@weights.command
def convert(
    folder: Annotated[Path, Parameter(help="Folder with the weights")],
    out: Annotated[Path, Parameter(help="File to write, .safetensors")],
    /,
    *,
    dtype: Annotated[NumberFormat, Parameter(help="Number format")] = NumberFormat.FP16,
) -> None:
    """Write the UNet as safetensors in half the size, which loads in seconds; prints its sha256."""
    import torch

    from latentsync.engines.diffusion.checkpoints import convert as convert_unet

    console.print(f"{out}: sha256 {convert_unet(folder, out, getattr(torch, dtype))}")


@weights.command
def fetch(
    folder: Annotated[Path, Parameter(help="Folder to download into")],
    /,
    *,
    engine: Annotated[str, Parameter(help="Engine that they are for")] = "latentsync-1.6",
) -> None:
    """Download an engine's weights at their pinned commits; what was begun is continued.

    HF_TOKEN, HF_HOME, HF_ENDPOINT (a mirror) and HTTPS_PROXY count as for every user of the Hugging Face hub.
    """
    try:
        download = ENGINES.find(engine).fetch
    except ValueError as error:
        raise InputError(f"--engine {error}") from error
    if download is None:
        raise InputError(f"--engine {engine}: it has no weights to fetch")
    download(folder)
    console.print(f"{folder}: complete")
