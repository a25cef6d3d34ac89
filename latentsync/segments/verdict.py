"""The score of a segment, and whether it is good enough."""

from latentsync.records import Record
from latentsync.settings import ScoreSettings


class Score(Record):
    """Measures of one segment; None where there is nothing to measure, such as no pause or no face."""

    offset_frames: int | None = None  # of the mouth behind the voice: positive is late
    correlation: float | None = None  # of mouth opening and loudness at that offset, -1..1
    lip_leak: float | None = None  # share of the silent frames in which the mouth moves
    seam: float | None = None  # gradient at the paste's edge over the source's; 1 cannot be seen
    sharpness: float | None = None  # fine detail around the mouth over the source's
    flicker: float | None = None  # change between frames that the source has not, grey levels
    jitter: float | None = None  # of the lips: mean second difference, per mille of the face crop's height
    face_share: float | None = None  # of the pasted frames, those in which a detector sees a face
    lse_d: float | None = None  # SyncNet's distance of lips and voice, where its weights are given
    lse_c: float | None = None  # by how much that is below the distance of a voice that is shifted

    def __str__(self) -> str:
        known = self.model_dump(exclude_none=True)
        return ", ".join(f"{name} {figure:g}" for name, figure in known.items()) or "nothing to measure"


class Verdict(Record):
    """What became of a segment at the gate."""

    score: Score
    below: tuple[str, ...]  # what is not good enough, with value and limit
    generated_again: int = 0  # times
    seed: int | None = None  # of the faces that were kept, where it is not the job's

    def __str__(self) -> str:
        often = "once" if self.generated_again == 1 else f"{self.generated_again} times"
        again = f"generated again {often}, " if self.generated_again else ""
        seed = f"kept that of seed {self.seed}; " if self.seed is not None else "kept the first; " if again else ""
        below = f"below: {', '.join(self.below)}; " if self.below else ""
        return f"{again}{seed}{below}{self.score}"


def shortfalls(score: Score, limits: ScoreSettings) -> tuple[str, ...]:
    """What of a score is beyond its limit; figures that nobody has are not judged."""
    late = None if score.offset_frames is None else abs(score.offset_frames)
    judged = [
        ("offset_frames", late, limits.max_offset_frames, 1),
        ("correlation", score.correlation, limits.min_correlation, -1),
        ("lip_leak", score.lip_leak, limits.max_lip_leak, 1),
        ("seam", score.seam, limits.max_seam, 1),
        ("sharpness", score.sharpness, limits.min_sharpness, -1),
        ("flicker", score.flicker, limits.max_flicker, 1),
        ("jitter", score.jitter, limits.max_jitter, 1),
        ("face_share", score.face_share, limits.min_face_share, -1),
        ("lse_d", score.lse_d, limits.max_lse_d, 1),
        ("lse_c", score.lse_c, limits.min_lse_c, -1),
    ]
    return tuple(
        f"{name} {figure:g} ({'at most' if sign > 0 else 'at least'} {limit:g})"
        for name, figure, limit, sign in judged
        if figure is not None and sign * figure > sign * limit
    )


def is_better(new: Verdict, old: Verdict) -> bool:
    """Fewer shortfalls, then the higher correlation."""

    def rank(verdict: Verdict) -> tuple[int, float]:
        correlation = verdict.score.correlation
        return -len(verdict.below), -1.0 if correlation is None else correlation

    return rank(new) > rank(old)
