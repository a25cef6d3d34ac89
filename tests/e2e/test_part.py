"""A part of a job: the same frames and sound as in the whole, and work that the whole then finds done."""

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from latentsync.media.decode import read_range
from latentsync.media.loudness import frame_loudness_db
from latentsync.media.probe import probe_audio, probe_video
from tests.conftest import Clip
from tests.e2e.jobs import made, run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
FPS = Fraction(25)


def test_a_part_is_a_piece_of_the_whole_and_is_not_made_again(clip: Clip, tmp_path: Path) -> None:
    part_file, whole_file = tmp_path / "part.mp4", tmp_path / "whole.mp4"
    part = run(clip, tmp_path / "work", part_file, timing={"part_from": "0:04.5", "part_to": "5.5"})
    whole = run(clip, tmp_path / "work", whole_file)
    joined = [segment.index for segment in part.segments]
    end = part.start + part.frames
    assert part.start <= 112 < 137 <= end < whole.frames
    assert {joined[0] - 1, *joined}.isdisjoint(made(whole, "generate"))
    assert set(joined).isdisjoint(made(whole, "render"))
    with (
        closing(read_range(probe_video(part_file, FPS), 0, part.frames)) as here,
        closing(read_range(probe_video(whole_file, FPS), part.start, end)) as there,
    ):
        for one, other in zip(here, there, strict=True):
            np.testing.assert_array_equal(one.y, other.y)
    levels = frame_loudness_db(probe_audio(part_file), FPS, part.frames)
    wanted = frame_loudness_db(probe_audio(whole_file), FPS, end)[part.start :]
    assert np.corrcoef(levels[2:-2], wanted[2:-2])[0, 1] > 0.98  # each is coded by itself
