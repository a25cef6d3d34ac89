"""Which faces were seen, and which of them would speak."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from latentsync.faces.identity import MIN_OVERLAP, Box, Choice, Person, choose_slots, follow, overlap
from latentsync.faces.shots import MIN_CHANGE
from latentsync.forecast import records
from latentsync.forecast.looks import Look, Sighting

PEOPLE_MAX = 8
MIN_SHARE = 0.02  # of the samples: rarer faces are not worth a line, unless they speak


@dataclass
class _Place:
    """All that was seen at one place in the picture."""

    box: Box
    seen: list[tuple[int, int]] = field(default_factory=list)  # look, and slot in it


def chosen_slots(looks: Sequence[Look], choice: Choice, centre: tuple[float, float]) -> tuple[list, np.ndarray]:
    """The people of every shot, and the chosen face's slot in each look (M,), -1 without one."""
    shots = np.cumsum([look.change >= MIN_CHANGE for look in looks])
    place = centre if isinstance(choice, str) else choice
    shown = list(follow(([face.box for face in look.faces] for look in looks), shots, place))
    return [person for shot in shown for person in shot], choose_slots(shown, len(looks), choice)[0]


def describe_people(
    looks: Sequence[Look], people: Sequence[Person], slots: np.ndarray, choice: Choice
) -> list[records.Person]:
    """The faces that were seen most, the chosen ones first."""
    places = _by_place(looks, people)
    chosen = [sum(int(slots[look] == slot) for look, slot in place.seen) for place in places]
    order = sorted(range(len(places)), key=lambda index: (-chosen[index], -len(places[index].seen)))
    kept = [i for i in order if chosen[i] or len(places[i].seen) >= MIN_SHARE * len(looks)][:PEOPLE_MAX]
    return [_record(looks, places[index], slots, choice) for index in kept]


def _by_place(looks: Sequence[Look], people: Sequence[Person]) -> list[_Place]:
    places: list[_Place] = []
    for person in people:
        seen = list(zip(person.frames, person.slots, strict=True))
        box = _median_box([looks[look].faces[slot].box for look, slot in seen])
        near = max(places, key=lambda place: overlap(place.box, box), default=None)
        if near is None or overlap(near.box, box) < MIN_OVERLAP:
            places.append(near := _Place(box))
        near.seen += seen
    return places


def _record(looks: Sequence[Look], place: _Place, slots: np.ndarray, choice: Choice) -> records.Person:
    left, top, right, bottom = place.box
    chosen = [(look, slot) for look, slot in place.seen if slots[look] == slot]
    return records.Person(
        share=round(len(place.seen) / len(looks), 4),
        chosen_share=round(len(chosen) / len(looks), 4),
        why=_why(choice, [(looks[look].faces, slot) for look, slot in chosen]),
        first_seconds=looks[min(look for look, _ in place.seen)].seconds,
        width_px=round(right - left),
        height_px=round(bottom - top),
        thumbnail=_thumbnail([looks[look].faces[slot] for look, slot in place.seen]),
    )


def _why(choice: Choice, chosen: Sequence[tuple[list[Sighting], int]]) -> str:
    """Why a face speaks, from all faces and its own slot wherever it was chosen."""
    named = {"largest": "the largest face", "center": "the face nearest to the centre"}
    wanted = named.get(str(choice), f"the face nearest to pixel {choice}")
    if not chosen:
        return f"not {wanted}"
    among = [(faces[slot], [face for face in faces if face is not faces[slot]]) for faces, slot in chosen]
    ratios = [_area(own.box) / max(_area(face.box) for face in others) for own, others in among if others]
    if not ratios:
        return "the only face in its shots"
    return f"{wanted}, {np.median(ratios):.1f} times the area of the next" if choice == "largest" else wanted


def _thumbnail(seen: Sequence[Sighting]) -> str:
    """The sharpest picture of a face as a data: URI."""
    picture = max(seen, key=lambda face: face.sharpness).picture
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


def _median_box(boxes: Sequence[Box]) -> Box:
    left, top, right, bottom = np.median(boxes, axis=0).tolist()
    return left, top, right, bottom


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
