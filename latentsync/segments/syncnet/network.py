"""The network, with the names of the published ``syncnet_v2.model``; its weights come from a file of the user's."""

import pickle
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from latentsync.engines.diffusion.tensors import mismatches
from latentsync.errors import WeightsError
from latentsync.records import file_sha256

EMBEDDING = 1024
FACE_PX = 224
FRAMES = 5  # that the network sees together
MFCC_ROWS = 20  # that it hears with them: 0.2 s

REMEDY = "give the published syncnet_v2.model, or leave score.syncnet empty"
# What torch raises for files that are something else, or cut off.
UNREADABLE = (pickle.UnpicklingError, EOFError, OSError, RuntimeError, ValueError, LookupError, TypeError)

# (channels, kernel, stride, padding, (kernel, stride, padding) of the maximum after it)
LIP_LAYERS = (
    (96, (5, 7, 7), (1, 2, 2), (0, 0, 0), ((1, 3, 3), (1, 2, 2), (0, 0, 0))),
    (256, (1, 5, 5), (1, 2, 2), (0, 1, 1), ((1, 3, 3), (1, 2, 2), (0, 1, 1))),
    (256, (1, 3, 3), (1, 1, 1), (0, 1, 1), None),
    (256, (1, 3, 3), (1, 1, 1), (0, 1, 1), None),
    (256, (1, 3, 3), (1, 1, 1), (0, 1, 1), ((1, 3, 3), (1, 2, 2), (0, 0, 0))),
    (512, (1, 6, 6), (1, 1, 1), (0, 0, 0), None),
)
VOICE_LAYERS = (
    (64, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1), (0, 0))),
    (192, (3, 3), (1, 1), (1, 1), ((3, 3), (1, 2), (0, 0))),
    (384, (3, 3), (1, 1), (1, 1), None),
    (256, (3, 3), (1, 1), (1, 1), None),
    (256, (3, 3), (1, 1), (1, 1), ((3, 3), (2, 2), (0, 0))),
    (512, (5, 4), (1, 1), (0, 0), None),
)


class SyncNet(nn.Module):
    """Two towers into one space: five face crops, and the 0.2 s of voice that belong to them."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = _tower(1, VOICE_LAYERS, nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)
        self.netfcaud = _head()
        self.netfclip = _head()
        self.netcnnlip = _tower(3, LIP_LAYERS, nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d)

    def see(self, faces: Tensor) -> Tensor:
        """(B, 3, FRAMES, 224, 224) BGR in 0..255 -> (B, EMBEDDING)."""
        return self.netfclip(self.netcnnlip(faces).flatten(1))

    def hear(self, mfcc: Tensor) -> Tensor:
        """(B, 1, 13, MFCC_ROWS) -> (B, EMBEDDING)."""
        return self.netfcaud(self.netcnnaud(mfcc).flatten(1))


def _tower(channels: int, layers: tuple, conv: type, norm: type, pool: type) -> nn.Sequential:
    parts: list[nn.Module] = []
    for out, kernel, stride, padding, most in layers:
        parts += [conv(channels, out, kernel, stride, padding), norm(out), nn.ReLU(inplace=True)]
        parts += [pool(*most)] if most else []
        channels = out
    return nn.Sequential(*parts)


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, EMBEDDING))


def load_syncnet(weights: Path) -> SyncNet:
    """The network with the weights of a file, kept for the next segment. Raises ``WeightsError``."""
    if not weights.is_file():
        raise WeightsError(f"score.syncnet {weights}: no such file; {REMEDY}")
    return _load(weights, file_sha256(weights))


@lru_cache(maxsize=1)
def _load(weights: Path, _sha256: str) -> SyncNet:
    try:
        tensors = torch.load(weights, map_location="cpu", weights_only=True)
    except UNREADABLE as error:  # whose text would tell how to load it without safety
        size = f"{weights.stat().st_size} bytes"
        raise WeightsError(f"score.syncnet {weights} ({size}) holds no readable tensors; {REMEDY}") from error
    with torch.device("meta"):
        network = SyncNet()
    is_named = isinstance(tensors, dict) and all(isinstance(tensor, Tensor) for tensor in tensors.values())
    given, expected = (_without_counts(each) for each in (tensors if is_named else {}, network.state_dict()))
    found = mismatches(expected, given)
    if found:
        raise WeightsError(f"score.syncnet {weights} does not fit SyncNet: {'; '.join(found)}; {REMEDY}")
    counts = {name: torch.zeros((), dtype=torch.long) for name in network.state_dict().keys() - expected.keys()}
    network.load_state_dict({**given, **counts}, assign=True)
    return network.float().eval().requires_grad_(False)


def _without_counts(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without how many batches were learned from, which files of before PyTorch 0.4.1 lack and nothing here asks."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(".num_batches_tracked")}
