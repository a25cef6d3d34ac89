"""A voice from nothing: pulses of a glottis and noise through the resonances of a mouth.

Source-filter synthesis with four resonators in a row (Klatt, "Software for a cascade/parallel formant
synthesizer", JASA 67, 1980). The words mean nothing; loudness, pauses and formants are those of speech.
"""

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

RATE_HZ = 44_100
BLOCK = 220  # samples (5 ms) over which the mouth holds still

# Formants F1-F3 in Hz of men's vowels: Peterson and Barney, JASA 24, 1952, table II. The last number is
# by ear: how much stronger the source must be for the vowel to be as loud as in speech.
VOWELS = {
    "i": (270, 2290, 3010, 3.0),
    "e": (530, 1840, 2480, 1.4),
    "a": (730, 1090, 2440, 1.0),
    "o": (570, 840, 2410, 1.0),
    "u": (300, 870, 2240, 2.2),
}
F4_HZ = 3500
BANDWIDTHS_HZ = (80, 100, 140, 250)
CLOSED = (200, 1000, 2300)  # where the formants start from behind closed lips

# Consonant and vowel, one pair per syllable; a gap between phrases.
PHRASES = ["mababo se tu", "ba mi nale po", "so fala me", "ta bo nima sulo", "ma pa be"]
PAUSE_SECONDS = 0.45
PITCH_HZ = (132, 92)  # falls along every phrase
HISS = {"s": 0.035, "f": 0.012}  # loudness of consonants that are noise
BURSTS = {"t": 0.04, "p": 0.03, "b": 0.0}  # lips or tongue closed, then a burst
NASALS = {"m": 0.35, "n": 0.35, "l": 0.5}  # voiced all along, but softer


def synthesise(seconds: float) -> np.ndarray:
    """(samples,) float64 in -1..1: the phrases over and over, for exactly ``seconds``."""
    tracks = np.concatenate([_phrase(PHRASES[i % len(PHRASES)]) for i in range(int(seconds / 1.2) + 2)])
    blocks = -(-round(seconds * RATE_HZ) // BLOCK)
    voicing, hiss, pitch_hz, *formants = tracks[:blocks].T
    rng = np.random.default_rng(1)
    sound = _glottis(voicing, pitch_hz, rng)
    for formant, bandwidth in zip([*formants, np.full(blocks, F4_HZ)], BANDWIDTHS_HZ, strict=True):
        sound = _resonate(sound, formant, bandwidth)
    noise = np.diff(rng.standard_normal(blocks * BLOCK + 1)) * np.repeat(_smooth(hiss, 3), BLOCK)
    sound = sound / np.abs(sound).max() + noise
    return (0.8 * sound / np.abs(sound).max())[: round(seconds * RATE_HZ)]


def write_voice(path: Path, seconds: float) -> None:
    """A 16-bit mono WAV file."""
    samples = np.rint(synthesise(seconds) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())


def _phrase(text: str) -> np.ndarray:
    """(blocks, 6): voicing, hiss, pitch and F1-F3 in Hz of a phrase and the pause after it."""
    letters = text.replace(" ", "")
    parts = [_syllable(letters[at], letters[at + 1], at % 4 == 0) for at in range(0, len(letters), 2)]
    track = np.concatenate([*parts, _hold(PAUSE_SECONDS)])
    return np.insert(track, 2, np.linspace(*PITCH_HZ, len(track)), axis=1)


def _syllable(consonant: str, vowel: str, stressed: bool) -> np.ndarray:
    stress = 1.0 if stressed else 0.75
    *formants, gain = VOWELS[vowel]
    spoken = _hold(0.13 + 0.06 * stress, voicing=stress * gain, formants=formants)
    spoken[:, 0] *= np.linspace(1, 0.55, len(spoken))  # each syllable fades
    return np.concatenate([_consonant(consonant, stress), spoken])


def _consonant(letter: str, stress: float) -> np.ndarray:
    if letter in HISS:
        return _hold(0.09, hiss=HISS[letter])
    if letter in BURSTS:
        return np.concatenate([_hold(0.06), _hold(0.015, hiss=BURSTS[letter])])
    return _hold(0.07, voicing=NASALS[letter] * stress)


def _hold(seconds: float, voicing: float = 0, hiss: float = 0, formants: Sequence[float] = CLOSED) -> np.ndarray:
    return np.tile([voicing, hiss, *formants], (round(seconds * RATE_HZ / BLOCK), 1))


def _glottis(voicing: np.ndarray, pitch_hz: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pulses at the pitch, softened to the -12 dB per octave of a real glottis."""
    phase = np.cumsum(np.repeat(_smooth(pitch_hz, 21), BLOCK) / RATE_HZ)
    pulses = np.diff(np.floor(phase), prepend=0.0) + 0.004 * rng.standard_normal(len(phase))
    soft = lfilter([1], [1, -1.88, 0.8836], pulses)  # two poles at 0.94
    radiated = np.diff(soft, prepend=0.0)  # from the lips into the room: +6 dB per octave
    return radiated * np.repeat(_smooth(voicing, 7), BLOCK)


def _resonate(sound: np.ndarray, formant_hz: np.ndarray, bandwidth_hz: float) -> np.ndarray:
    """One two-pole resonator of gain 1 at 0 Hz whose frequency moves from block to block."""
    out, state = np.empty_like(sound), np.zeros(2)
    radius = np.exp(-np.pi * bandwidth_hz / RATE_HZ)
    for block, hz in enumerate(_smooth(formant_hz, 9)):
        b, c = 2 * radius * np.cos(2 * np.pi * hz / RATE_HZ), -(radius**2)
        span = slice(block * BLOCK, (block + 1) * BLOCK)
        out[span], state = lfilter([1 - b - c], [1, -b, -c], sound[span], zi=state)
    return out


def _smooth(track: np.ndarray, blocks: int) -> np.ndarray:
    """Mouths do not jump: a Hann window over ``blocks`` blocks of 5 ms."""
    window = np.hanning(blocks + 2)[1:-1]
    return np.convolve(np.pad(track, blocks // 2, mode="edge"), window / window.sum(), mode="valid")
