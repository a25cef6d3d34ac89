"""`lipsync weights`: look at, convert and download the weights of LatentSync."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from latentsync.errors import WeightsError

weights_app = typer.Typer(help="Look at, convert and download model weights.", no_args_is_help=True)
console = Console(highlight=False, soft_wrap=True)


class NumberFormat(StrEnum):
    """What the converted numbers are stored as."""

    BF16 = "bfloat16"
    FP16 = "float16"


@weights_app.command()
def check(folder: Annotated[Path, typer.Argument(help="Folder with the weights")]) -> None:
    """Compare every tensor's name and shape with what the model needs."""
    from latentsync.engines.diffusion.checkpoints import check as find_problems

    if problems := find_problems(folder):
        raise WeightsError("; ".join(problems))
    console.print(f"{folder}: complete")


@weights_app.command()
def convert(
    folder: Annotated[Path, typer.Argument(help="Folder with the weights")],
    out: Annotated[Path, typer.Argument(help="File to write, .safetensors")],
    dtype: Annotated[NumberFormat, typer.Option(help="Number format")] = NumberFormat.BF16,
) -> None:
    """Write the UNet as safetensors in half the size, which loads in seconds; prints its sha256."""
    import torch

    from latentsync.engines.diffusion.checkpoints import convert as convert_unet

    console.print(f"{out}: sha256 {convert_unet(folder, out, getattr(torch, dtype))}")


@weights_app.command()
def fetch(
    folder: Annotated[Path, typer.Argument(help="Folder to download into")],
    repository: Annotated[str, typer.Option(help="Repository on the hub")] = "ByteDance/LatentSync-1.6",
    endpoint: Annotated[str | None, typer.Option(help="Another hub, such as a mirror")] = None,
) -> None:
    """Download UNet, whisper and VAE; what was begun is continued."""
    from latentsync.engines.diffusion.download import fetch as download

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars: dict[str, object] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name, total=total)
            progress.update(bars[name], completed=done)

        download(repository, folder, endpoint=endpoint, on_progress=show)
    console.print(f"{folder}: complete")
