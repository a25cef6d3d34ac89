"""What the device was asked for and has not handed over yet."""

import numpy as np
import torch
from torch import Tensor

from latentsync.errors import InputError


class Submitted:
    """New faces (B, F, R, R, 3) of some windows, on their way from the device."""

    def __init__(self, faces: Tensor, finite: Tensor):
        self._parts, self._arrived = (faces, finite), None
        if faces.device.type == "cuda":
            self._parts = tuple(
                torch.empty(part.shape, dtype=part.dtype, pin_memory=True).copy_(part, non_blocking=True)
                for part in (faces, finite)
            )
            self._arrived = torch.cuda.Event()
            self._arrived.record(torch.cuda.current_stream(faces.device))

    def faces(self) -> list[np.ndarray]:
        """(F, R, R, 3) uint8 of each window; waits for them. Raises ``InputError`` when numbers overflowed."""
        if self._arrived is not None:
            self._arrived.synchronize()
        faces, finite = self._parts
        if not finite:
            raise InputError(
                "numbers of these weights leave the range of the chosen format: use --dtype bfloat16, which has "
                "that of float32, or --dtype float32"
            )
        return list(faces.numpy())
