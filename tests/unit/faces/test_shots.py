import numpy as np

from latentsync.faces.shots import changes, shot_changes, signature


def picture(seed: int, shift: int = 0) -> np.ndarray:
    """A coarse random scene, panned by ``shift`` pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 32, 3), np.uint8)
    return np.roll(np.kron(coarse, np.ones((20, 20, 1), np.uint8)), shift, axis=1)


def test_hard_cuts_are_found_where_they_are():
    frames = [picture(1)] * 10 + [picture(2, 3 * n) for n in range(10)] + [picture(3)] * 5
    found = shot_changes(changes(np.stack([signature(frame) for frame in frames])))
    assert found.tolist() == [10, 20]


def test_a_quick_pan_and_a_flickering_light_are_no_cuts():
    pan = [picture(1, 12 * n) for n in range(20)]
    flicker = [(picture(1) * (0.7 + 0.3 * (n % 2))).astype(np.uint8) for n in range(20)]
    for frames in (pan, flicker):
        assert len(shot_changes(changes(np.stack([signature(frame) for frame in frames])))) == 0
