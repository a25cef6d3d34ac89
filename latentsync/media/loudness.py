"""How loud a voice is per video frame."""

from fractions import Fraction

import numpy as np

from latentsync.media.audio import VOICE_HZ, mono_16k
from latentsync.media.ffmpeg import QUIET, Ffmpeg
from latentsync.records import AudioInfo

FLOOR_DB = -60.0


def frame_loudness_db(audio: AudioInfo, fps: Fraction, frames: int) -> np.ndarray:
    """RMS level of the first frames in dB of full scale, (frames,) float32, at least ``FLOOR_DB``.

    Frame n covers the samples from ``n / fps`` to ``(n + 1) / fps``; the sound is decoded as a stream.
    """
    levels = np.full(frames, FLOOR_DB, np.float32)
    ends = [frame * VOICE_HZ * fps.denominator // fps.numerator for frame in range(frames + 1)]
    sound = mono_16k(audio, "pipe:1", format="s16le").global_args(*QUIET)
    with Ffmpeg(sound.compile(), audio.file.path, stdout=True) as process:
        for frame in range(frames):
            size = 2 * (ends[frame + 1] - ends[frame])
            samples = np.frombuffer(process.stdout.read(size), "<i2").astype(np.float32) / 32768
            if not len(samples):
                process.finish()
                break
            levels[frame] = max(10 * np.log10(np.mean(samples**2) + 1e-12), FLOOR_DB)
    return levels
