import pytest

from latentsync.segments.verdict import Score, Verdict, is_better, shortfalls
from latentsync.settings import ScoreSettings

GOOD = Score(
    offset_frames=1, correlation=0.8, lip_leak=0.0, seam=1.0, sharpness=0.9, flicker=1.0, jitter=5.0, face_share=1.0,
    lse_d=7.0, lse_c=7.0,
)  # fmt: skip
LIMITS = ScoreSettings()


def test_a_good_score_has_no_shortfall():
    assert shortfalls(GOOD, LIMITS) == ()


def test_a_figure_that_nobody_has_is_not_judged():
    assert shortfalls(Score(), LIMITS) == ()
    assert str(Score()) == "nothing to measure"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"offset_frames": -4}, "offset_frames 4 (at most 3)"),
        ({"correlation": 0.1}, "correlation 0.1 (at least 0.3)"),
        ({"lip_leak": 0.5}, "lip_leak 0.5 (at most 0.3)"),
        ({"seam": 2.0}, "seam 2 (at most 1.5)"),
        ({"sharpness": 0.2}, "sharpness 0.2 (at least 0.4)"),
        ({"flicker": 9.0}, "flicker 9 (at most 4)"),
        ({"jitter": 30.0}, "jitter 30 (at most 20)"),
        ({"face_share": 0.5}, "face_share 0.5 (at least 0.9)"),
        ({"lse_d": 12.0}, "lse_d 12 (at most 10)"),
        ({"lse_c": 1.5}, "lse_c 1.5 (at least 3)"),
    ],
)
def test_each_figure_has_its_limit_and_says_it(change, told):
    assert shortfalls(GOOD.model_copy(update=change), LIMITS) == (told,)


def test_fewer_shortfalls_are_better_then_the_higher_correlation():
    def verdict(correlation: float | None, *below: str) -> Verdict:
        return Verdict(score=Score(correlation=correlation), below=below)

    assert is_better(verdict(0.3), verdict(0.9, "seam"))
    assert is_better(verdict(0.5, "seam"), verdict(0.4, "seam"))
    assert not is_better(verdict(0.5, "seam"), verdict(0.5, "seam"))
    assert not is_better(verdict(None), verdict(0.1))
