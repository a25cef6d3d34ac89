"""The published weights: which files of which commits, with the sizes and sha256 that the hub lists for them."""

from dataclasses import dataclass
from typing import Literal

ReleaseName = Literal["ByteDance/LatentSync-1.6", "ByteDance/LatentSync-1.5"]


@dataclass(frozen=True)
class PublishedFile:
    """A file of a repository."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Repository:
    """A repository on the Hugging Face hub at one commit."""

    name: str
    revision: str
    files: tuple[PublishedFile, ...]
    folder: str = "."  # where its files go in the folder of weights


@dataclass(frozen=True)
class Release:
    """Everything that an engine needs."""

    resolution_px: int
    repositories: tuple[Repository, ...]


_WHISPER = PublishedFile(
    "whisper/tiny.pt", 75_572_083, "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9"
)
_VAE = Repository(
    "stabilityai/sd-vae-ft-mse",
    "31f26fdeee1355a5c34592e401dd41e45d25a493",
    (
        PublishedFile("config.json", 547, "92d3dfb746fca211a2c9e019e285f8597412211728dce3c5bcf4eda0f2d62e7e"),
        PublishedFile(
            "diffusion_pytorch_model.safetensors",
            334_643_276,
            "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
        ),
    ),
    folder="vae",
)
_UNET_1_5 = PublishedFile(
    "latentsync_unet.pt", 5_072_348_184, "6440b49a7ccceff56cdc001f5f17605216337f5bbd66fa360139768926e23f51"
)
_UNET_1_6 = PublishedFile(
    "latentsync_unet.pt", 5_072_222_488, "0a478e89eb660f82da4c35dbdde8a5adfb27f99d1b4e50edd03729e1e98316d3"
)

RELEASES: dict[ReleaseName, Release] = {
    "ByteDance/LatentSync-1.6": Release(
        512,
        (
            Repository("ByteDance/LatentSync-1.6", "c42c7e6c8e9c213626389fa7d9a3c444b8536353", (_UNET_1_6, _WHISPER)),
            _VAE,
        ),
    ),
    "ByteDance/LatentSync-1.5": Release(
        256,
        (
            Repository("ByteDance/LatentSync-1.5", "32a20d29aead0498e3e885e90dbbe8027da1b61b", (_UNET_1_5, _WHISPER)),
            _VAE,
        ),
    ),
}
