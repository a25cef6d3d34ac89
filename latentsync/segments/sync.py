"""Does the mouth follow the voice: offset and correlation, and lips that move in silence."""

import numpy as np
from scipy.ndimage import maximum_filter1d

OFFSET_FRAMES_MAX = 10  # looked at, early and late
LEAST_FRAMES = 50  # with a face: two seconds; in fewer, a good correlation may be chance
LEAST_SPOKEN_FRAMES = 25  # of these, with the voice in them: to follow noise is no virtue
LEAST_SILENT_FRAMES = 5
LEAST_CHANGE = 1e-9  # standard deviation; below it is rounding
LOUDNESS_EXPONENT = 0.6  # of the amplitude: Stevens' power law, 0.3 of the intensity
MOVING_PER_FRAME = 0.01  # of the crop's height: lips at rest, seen by a detector, stay below 0.005


def sync(loudness_db: np.ndarray, speaking: np.ndarray, opening: np.ndarray) -> tuple[int, float] | None:
    """(offset in frames, correlation) of a mouth that speaks; None where too little is seen or heard.

    ``loudness_db``, ``speaking`` (bool) and ``opening`` are (N,) per frame, ``opening`` NaN where unknown.
    A positive offset: the mouth is late.
    """
    seen = np.isfinite(opening)
    if seen.sum() < LEAST_FRAMES or (seen & speaking).sum() < LEAST_SPOKEN_FRAMES:
        return None
    offset, correlation = best_lag(10 ** (LOUDNESS_EXPONENT * loudness_db / 20), opening)
    return (offset, correlation) if np.isfinite(correlation) else None


def lip_leak(speaking: np.ndarray, opening: np.ndarray, margin_frames: int) -> float | None:
    """Share of the silent frames in which the mouth moves (LipLeak); None when there is hardly any silence.

    ``speaking`` (N,) bool is what is heard. ``margin_frames`` around speech do not count: lips move before
    the first sound and after the last.
    """
    if len(opening) < 2:
        return None
    change = np.abs(np.diff(opening))
    near_speech = np.asarray(maximum_filter1d(speaking, 2 * margin_frames + 1), bool)
    silent = ~near_speech[1:] & np.isfinite(change)
    if silent.sum() < LEAST_SILENT_FRAMES:
        return None
    return float((change[silent] > MOVING_PER_FRAME).mean())


def best_lag(loudness: np.ndarray, opening: np.ndarray, lag_frames_max: int = OFFSET_FRAMES_MAX) -> tuple[int, float]:
    """(lag in frames, Pearson correlation) where the opening follows the loudness best.

    ``loudness`` and ``opening`` are (N,) per frame, NaN where unknown. A positive lag: the mouth is late.
    The correlation is NaN where one of them never changes.
    """
    lags = range(-lag_frames_max, lag_frames_max + 1)
    found = {lag: _correlation(loudness, opening, lag) for lag in lags}
    known = {lag: value for lag, value in found.items() if np.isfinite(value)}
    if not known:
        return 0, float("nan")
    lag = max(known, key=known.__getitem__)
    return lag, known[lag]


def _correlation(loudness: np.ndarray, opening: np.ndarray, lag: int) -> float:
    count = min(len(loudness), len(opening)) - abs(lag)
    if count < 2:
        return float("nan")
    voice, mouth = loudness[max(-lag, 0) :][:count], opening[max(lag, 0) :][:count]
    known = np.isfinite(voice) & np.isfinite(mouth)
    voice, mouth = voice[known], mouth[known]
    if len(voice) < 2 or min(voice.std(), mouth.std()) < LEAST_CHANGE:
        return float("nan")
    return float(np.corrcoef(voice, mouth)[0, 1])
