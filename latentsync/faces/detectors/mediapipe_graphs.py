"""Mediapipe's graphs: made in silence, and at rest between two uses.

Version 0.10.14 loses a KiB or two with every graph that is made (a network's graph three pieces, 792 bytes), and
each piece keeps a page of the heap from being given back: measured 20 MiB after a thousand detectors. A graph that
rests and is woken up loses nothing, starts in half the time, and finds the same faces, bit for bit.
"""

import ctypes
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from latentsync.faces.face import LIMITS

AT_REST = 1  # of a kind in a process, which one at rest costs up to 5 MiB: work follows work, seldom two at once
NOTHING = np.zeros((64, 64, 3), np.uint8)


class Graphs:
    """Graphs of one kind, each for one user at a time."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._at_rest: list[Any] = []

    def take(self) -> Any:
        """One that has seen nothing yet; give it back, or it keeps 20 MiB and 2 threads for ever."""
        with _quiet():
            try:
                graph = self._at_rest.pop()
            except IndexError:
                graph = self._make()
            else:
                graph.reset()
            graph.process(NOTHING)
        return graph

    def give_back(self, graph: Any) -> None:
        """End its run, which frees all but the graph itself."""
        if len(self._at_rest) >= AT_REST:
            graph.close()
            return
        graph._graph.close()  # its own `close` would forget the graph as well
        self._at_rest.append(graph)


def _new_finder() -> Any:
    detection, _ = _solutions()
    return detection.FaceDetection(model_selection=1, min_detection_confidence=LIMITS.min_score)


def _new_mesh() -> Any:
    _, mesh = _solutions()
    return mesh.FaceMesh(
        max_num_faces=1,
        refine_landmarks=True,  # follows the lips better
        min_detection_confidence=LIMITS.min_score,
        min_tracking_confidence=LIMITS.min_score,
    )


FINDERS, MESHES = Graphs(_new_finder), Graphs(_new_mesh)


@cache
def _solutions() -> tuple[Any, Any]:
    """Mediapipe's modules, imported in a thread of their own.

    One of them keeps an error for ever, and with it all who were waiting for the import: else a first detector.
    """
    with ThreadPoolExecutor(1) as importer:
        return importer.submit(_import).result()


def _import() -> tuple[Any, Any]:
    from mediapipe.python.solutions import face_detection, face_mesh

    return face_detection, face_mesh


_stderr_lock = threading.Lock()


@contextmanager
def _quiet() -> Iterator[None]:
    """Mediapipe greets when a graph starts and has no switch for it: C's ``stderr`` leads nowhere meanwhile.

    File descriptor 2, and with it all that Python or a child process says, stays as it is.
    """
    warnings.filterwarnings("ignore", message="SymbolDatabase.GetPrototype")
    try:
        stderr = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr")
    except ValueError:  # another C library than glibc
        yield
        return
    with _stderr_lock:
        before, stderr.value = stderr.value, _nowhere()
        try:
            yield
        finally:
            stderr.value = before


@cache
def _nowhere() -> int:
    """A C ``FILE`` that is never closed: another thread may be writing to it."""
    fopen = ctypes.CDLL(None).fopen
    fopen.restype = ctypes.c_void_p
    return fopen(os.devnull.encode(), b"w")
