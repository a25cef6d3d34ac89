"""Who is who from frame to frame, and whose lips are to move in each shot."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import hypot
from typing import Literal

import numpy as np

MAX_LOST_FRAMES = 25  # a face that comes back later than this at its place is taken for another one
MIN_OVERLAP = 0.3  # intersection over union of a face's boxes in neighbouring frames, or before and after
MIN_STAND_IN = 0.25  # of the chosen face's area: smaller ones never take its place when it is gone

Box = tuple[float, float, float, float]  # left, top, right, bottom in source pixels
Choice = Literal["largest", "center"] | tuple[float, float]  # or the face nearest to a source pixel


@dataclass
class Person:
    """One face through one shot, as far as it could be followed."""

    shot: int
    frames: "array[int]" = field(default_factory=lambda: array("l"))
    slots: "array[int]" = field(default_factory=lambda: array("b"))  # its place among the faces of each frame
    box: Box = (0.0, 0.0, 0.0, 0.0)  # the last one seen
    area: float = 0.0  # sum over frames
    distance: float = 0.0  # from the wanted place, sum over frames

    def add(self, frame: int, slot: int, box: Box, place: tuple[float, float]) -> None:
        """See it once more; distances are measured from the pixel ``place``."""
        left, top, right, bottom = self.box = box
        self.frames.append(frame)
        self.slots.append(slot)
        self.area += (right - left) * (bottom - top)
        self.distance += hypot((left + right) / 2 - place[0], (top + bottom) / 2 - place[1])


def follow(boxes: Iterable[list[Box]], shots: np.ndarray, place: tuple[float, float]) -> Iterator[list[Person]]:
    """Yield the people of each shot in turn.

    ``boxes`` are those of each frame, ``shots`` (M,) the shot each frame belongs to, ``place``
    the pixel (x, y) that distances are measured from.
    """
    people: list[Person] = []
    near: list[Person] = []
    for frame, here in enumerate(boxes):
        if people and people[0].shot != shots[frame]:
            yield people
            people, near = [], []
        near = [person for person in near if frame - person.frames[-1] <= MAX_LOST_FRAMES]
        for slot, person in enumerate(_match(here, near)):
            if person is None:
                person = Person(int(shots[frame]))
                people.append(person)
                near.append(person)
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


def choose_slots(people: Iterable[list[Person]], frames: int, choice: Choice) -> tuple[np.ndarray, np.ndarray]:
    """The chosen face's slot in each frame (M,) int8, and a number for whom it shows (M,); -1 without one.

    ``people`` are those of each shot, from ``follow``.
    """
    slots, who = np.full(frames, -1, np.int8), np.full(frames, -1)
    claimed = np.zeros(frames, bool)
    for number, person in enumerate(person for shot in people for person in choose(shot, choice)):
        seen, seen_in = np.array(person.frames), np.array(person.slots)
        free = ~claimed[seen]
        slots[seen[free]], who[seen[free]] = seen_in[free], number
        claimed[seen[0] : seen[-1] + 1] = True
    return slots, who


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (sum(areas) - shared)


def _match(boxes: list[Box], people: list[Person]) -> list[Person | None]:
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
