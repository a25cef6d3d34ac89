"""Who speaks, and why, from looks that were made up."""

import numpy as np
import pytest

from latentsync.faces.identity import Choice
from latentsync.forecast.looks import Look, Sighting, stretches
from latentsync.forecast.people import chosen_slots, describe_people
from latentsync.forecast.records import Person

LEFT, RIGHT = (100.0, 100.0, 300.0, 340.0), (500.0, 150.0, 600.0, 270.0)  # the left one is four times as large


def sighting(box: tuple[float, float, float, float]) -> Sighting:
    return Sighting(box, sharpness=100.0, picture=b"jpeg")


def described(looks: list[Look], choice: Choice = "largest") -> list[Person]:
    people, slots = chosen_slots(looks, choice, centre=(320, 240))
    return describe_people(looks, people, slots, choice)


def looks_at(*faces: list, change: float = 0.0) -> list[Look]:
    return [Look(index / 2, [sighting(box) for box in boxes], "", change) for index, boxes in enumerate(faces)]


def test_the_largest_speaks():
    speaker, other = described(looks_at([LEFT, RIGHT], [LEFT, RIGHT], [LEFT]))
    assert (speaker.width_px, speaker.height_px) == (200, 240)
    assert speaker.chosen_share == speaker.share == 1
    assert speaker.why == "the largest face, 4.0 times the area of the next"
    assert (other.share, other.chosen_share, other.why) == (pytest.approx(2 / 3, abs=1e-3), 0, "not the largest face")


def test_a_pixel_chooses_another():
    speaker, other = described(looks_at([LEFT, RIGHT], [LEFT, RIGHT]), choice=(550.0, 200.0))
    assert speaker.width_px == 100
    assert "nearest to pixel" in speaker.why
    assert other.chosen_share == 0


def test_a_face_of_another_shot_speaks_there():
    first, second = looks_at([LEFT], [LEFT])[0], looks_at([RIGHT], change=50.0)[0]
    people = described([first, first, second])
    assert [person.why for person in people] == ["the only face in its shots"] * 2
    assert [person.chosen_share for person in people] == [
        pytest.approx(2 / 3, abs=1e-3),
        pytest.approx(1 / 3, abs=1e-3),
    ]


def test_no_face_is_nobody():
    looks = [Look(0.0, [], "no face", 0.0)]
    people, slots = chosen_slots(looks, "largest", (0, 0))
    assert people == []
    np.testing.assert_array_equal(slots, [-1])
    assert describe_people(looks, people, slots, "largest") == []


def test_neighbouring_troubles_are_one_stretch():
    troubles = ["", "too small", "too small", "blurred", "", "no face"]
    looks = [Look(index / 2, [], trouble, 0.0) for index, trouble in enumerate(troubles)]
    found = [(one.start_seconds, one.end_seconds, one.what) for one in stretches(looks, 0.5)]
    assert found == [(0.5, 1.5, "too small"), (1.5, 2.0, "blurred"), (2.5, 3.0, "no face")]
