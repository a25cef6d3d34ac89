"""Graphs that rest between two uses instead of being made anew."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from latentsync.faces.detectors.mediapipe import _give_back
from latentsync.faces.detectors.mediapipe_graphs import AT_REST, FINDERS, MESHES, Graphs
from tests.pictures import read_picture

PORTRAIT = Path(__file__).parents[3] / "demo" / "astronaut.jpg"


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.ascontiguousarray(read_picture(PORTRAIT)[:240, 60:300])


def landmarks(mesh, picture: np.ndarray) -> list[tuple[float, float, float]]:
    return [(point.x, point.y, point.z) for point in mesh.process(picture).multi_face_landmarks[0].landmark]


def boxes(finder, picture: np.ndarray) -> list[str]:
    return [str(found) for found in finder.process(picture).detections]


@pytest.mark.parametrize(("kind", "look"), [(MESHES, landmarks), (FINDERS, boxes)], ids=["mesh", "finder"])
def test_one_that_has_rested_finds_what_a_new_one_finds_bit_for_bit(portrait, kind, look):
    views = [portrait, portrait[4:, 3:].copy(), portrait[9:, :-8].copy()]
    graphs = Graphs(kind._make)
    graph = graphs.take()
    new = [look(graph, view) for view in views]
    look(graph, portrait[20:, 20:].copy())  # it follows what it has seen
    for _ in range(2):
        graphs.give_back(graph)
        assert graphs.take() is graph
        assert [look(graph, view) for view in views] == new
    graph.close()


def test_few_are_at_rest_and_the_others_are_closed():
    graphs = Graphs(FINDERS._make)
    taken = [graphs.take() for _ in range(AT_REST + 2)]
    assert len({id(graph) for graph in taken}) == len(taken)
    for graph in taken:
        graphs.give_back(graph)
    assert [graph._graph is None for graph in taken] == [False] * AT_REST + [True] * 2
    assert graphs.take() in taken


def test_one_that_cannot_be_woken_up_is_not_given_out_again(monkeypatch):
    graphs = Graphs(FINDERS._make)
    broken = graphs.take()
    graphs.give_back(broken)

    def fail() -> None:
        raise RuntimeError("graph has errors")

    monkeypatch.setattr(broken, "reset", fail)
    with pytest.raises(RuntimeError):
        graphs.take()
    assert graphs.take() is not broken


@pytest.mark.parametrize("broken", [0, 1])
def test_one_that_cannot_be_closed_does_not_keep_the_others_of_its_detector(broken):
    graphs = Graphs(FINDERS._make)
    of_a_detector = [graphs.take(), graphs.take()]
    of_a_detector[broken].close()  # it has no run any more that could be ended
    with pytest.raises((AttributeError, ValueError)):
        _give_back([(graphs, graph) for graph in of_a_detector])
    assert graphs._at_rest == [of_a_detector[1 - broken]]


def test_the_import_keeps_no_detector():
    """A module of mediapipe keeps the error of a missing library, and with it all frames that led to the import."""
    script = """
import weakref
from latentsync.faces.detectors.mediapipe import MediapipeDetector
detector = MediapipeDetector()
kept = weakref.ref(detector)
del detector
print(kept())
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "None\n"
