"""Who is who from frame to frame, and whose lips are to move in each shot."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

MAX_LOST_FRAMES = 25  # a face that comes back later than this at its place is taken for another one
MIN_OVERLAP = 0.3  # intersection over union of a face's boxes in neighbouring frames, or before and after
MIN_STAND_IN = 0.25  # of the chosen face's area: smaller ones never take its place when it is gone

Choice = Literal["largest", "center"] | tuple[float, float]  # or the face nearest to a source pixel


@dataclass
class Person:
    """One face through one shot, as far as it could be followed."""

    shot: int
    frames: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)  # its place among the faces of each frame
    box: np.ndarray = field(default_factory=lambda: np.zeros(4))  # the last one seen
    area: float = 0.0  # sum over frames
    distance: float = 0.0  # from the wanted place, sum over frames

    def add(self, frame: int, slot: int, box: np.ndarray, place: np.ndarray | None) -> None:
        """See it once more."""
        self.frames.append(frame)
        self.slots.append(slot)
        self.box = box
        self.area += float((box[2] - box[0]) * (box[3] - box[1]))
        if place is not None:
            self.distance += float(np.hypot(*((box[:2] + box[2:]) / 2 - place)))


def follow(boxes: Iterable[np.ndarray], shots: np.ndarray, place: np.ndarray | None = None) -> Iterator[list[Person]]:
    """Yield the people of each shot in turn.

    ``boxes`` are those of each frame (n, 4), ``shots`` (M,) the shot each frame belongs to, ``place``
    the pixel (x, y) that distances are measured from.
    """
    people: list[Person] = []
    for frame, here in enumerate(boxes):
        if people and people[0].shot != shots[frame]:
            yield people
            people = []
        near = [person for person in people if frame - person.frames[-1] <= MAX_LOST_FRAMES]
        for slot, person in enumerate(_match(here, near)):
            if person is None:
                person = Person(int(shots[frame]))
                people.append(person)
            person.add(frame, slot, here[slot], place)
    if people:
        yield people


def choose(people: list[Person], choice: Choice) -> list[Person]:
    """The chosen face of a shot first, then those that stand in for it where it is gone.

    Nobody stands in between the first and the last frame of somebody before it in the list.
    """
    most = max(len(person.frames) for person in people)
    steady = [person for person in people if len(person.frames) * 2 >= most]

    def rank(person: Person) -> float:
        return -person.area if choice == "largest" else person.distance / len(person.frames)

    chosen = min(people if choice == "largest" else steady, key=rank)
    size = chosen.area / len(chosen.frames)
    others = [person for person in people if person is not chosen]
    return [chosen, *sorted((p for p in others if p.area / len(p.frames) >= MIN_STAND_IN * size), key=rank)]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.clip(sides, 0, None)))
    return shared / float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared)


def _match(boxes: np.ndarray, people: list[Person]) -> list[Person | None]:
    """The person in each box: best overlaps first, each person once."""
    pairs = sorted(
        (
            (overlap(box, person.box), slot, order)
            for slot, box in enumerate(boxes)
            for order, person in enumerate(people)
        ),
        reverse=True,
    )
    matched: list[Person | None] = [None] * len(boxes)
    taken: set[int] = set()
    for score, slot, order in pairs:
        if score >= MIN_OVERLAP and matched[slot] is None and order not in taken:
            matched[slot] = people[order]
            taken.add(order)
    return matched
