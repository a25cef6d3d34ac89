"""Simple measures of a voice: how loud, how silent, clipped, alone or over something."""

from collections.abc import Generator
from contextlib import closing

import numpy as np

from latentsync.forecast.records import UnderVoice, Voice
from latentsync.media.audio import FROM_ZERO
from latentsync.media.ffmpeg import QUIET, Ffmpeg
from latentsync.media.opening import media_input
from latentsync.records import AudioInfo

PIECES_PER_SECOND = 25  # of 40 ms
BLOCK_SECONDS = 10
SILENCE_DB = -50.0  # of full scale; below, nobody hears a word
SILENCE_UNDER_SPEECH_DB = 40.0  # or so far below the voice itself
PAUSE_PIECES = PIECES_PER_SECOND // 2
CLIPPED = 32_700  # of 32,767
CLIPPED_RUN = 3  # samples: a single one may be a peak that just fits
ALONE_DB = 25.0  # between speech and the floor of its gaps; less: something fills them
TONAL_FLATNESS = 0.15  # geometric over arithmetic mean of a spectrum: noise is near 0.6, chords near 0.01
FLOOR_DB = -90.0


def measure_voice(audio: AudioInfo) -> Voice:
    """Read all of the sound once, in constant memory but for a few numbers per second."""
    levels, flatness, clipped, peak = [], [], 0, 1
    with closing(_blocks(audio)) as blocks:
        for samples in blocks:
            loud = np.abs(samples, dtype=np.float32)
            peak = max(peak, int(loud.max()))
            clipped += _clipped(loud)
            piece = audio.sample_rate_hz // PIECES_PER_SECOND
            pieces = samples[: len(samples) // piece * piece].mean(axis=1, dtype=np.float32).reshape(-1, piece)
            levels.append(_db(np.sqrt(np.mean(pieces**2, axis=1)) / 32768))
            flatness.append(_flatness_of_quietest(pieces, levels[-1]))
    level = np.concatenate(levels) if levels else np.full(1, FLOOR_DB)
    speech, floor = (float(np.percentile(level, share)) for share in (95, 10))
    silent = level < max(SILENCE_DB, speech - SILENCE_UNDER_SPEECH_DB)
    return Voice(
        seconds=round(audio.samples / audio.sample_rate_hz, 3),
        silent_share=round(float(silent.mean()), 4),
        pauses=sum(end - start >= PAUSE_PIECES for start, end in ranges(silent)),
        peak_db=round(float(_db(peak / 32768)), 1),
        speech_db=round(speech, 1),
        floor_db=round(floor, 1),
        clipped_share=round(clipped / max(audio.samples * audio.channels, 1), 6),
        under_voice=_under(speech - floor, silent, flatness),
    )


def ranges(marks: np.ndarray) -> list[tuple[int, int]]:
    """Half-open ranges in which ``marks`` (N,) bool is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _blocks(audio: AudioInfo) -> Generator[np.ndarray]:
    """Samples (n, channels) int16 at the sound's own rate, some seconds at a time."""
    sound = media_input(audio.file.path)[str(audio.stream)]
    sound = sound.output("pipe:1", af=FROM_ZERO, format="s16le", acodec="pcm_s16le", ac=audio.channels)
    size = BLOCK_SECONDS * audio.sample_rate_hz * audio.channels * 2
    with Ffmpeg(sound.global_args(*QUIET).compile(), audio.file.path, stdout=True) as process:
        while block := process.stdout.read(size):
            yield np.frombuffer(block, "<i2").reshape(-1, audio.channels)
        process.finish()


def _clipped(loud: np.ndarray) -> int:
    """Samples at full scale that have such neighbours."""
    if loud.max() < CLIPPED:
        return 0
    runs = (ranges(channel >= CLIPPED) for channel in loud.T)
    return sum(end - start for channel in runs for start, end in channel if end - start >= CLIPPED_RUN)


def _flatness_of_quietest(pieces: np.ndarray, level: np.ndarray) -> float:
    """Spectral flatness of the quietest tenth of some seconds: 1 for white noise, near 0 for tones."""
    if not len(pieces):
        return 1.0
    quiet = pieces[np.argsort(level)[: max(1, len(level) // 10)]]
    power = np.abs(np.fft.rfft(quiet * np.hanning(quiet.shape[1]), axis=1)[:, 3:]) ** 2 + 1e-3
    return float(np.median(np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)))


def _under(range_db: float, silent: np.ndarray, flatness: list[float]) -> UnderVoice:
    if range_db >= ALONE_DB or silent.mean() > 0.1:
        return "nothing"
    return "music" if np.median(flatness) < TONAL_FLATNESS else "noise"


def _db(amplitude: np.ndarray | float) -> np.ndarray:
    return 20 * np.log10(np.maximum(amplitude, 10 ** (FLOOR_DB / 20)))
