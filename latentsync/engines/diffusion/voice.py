"""Voice features: whisper's inner layers at 50 rows per second, for audio of any length.

Whisper hears 30 s at a time. Longer audio is heard in overlapping windows; of each the middle is kept,
and neighbours are faded into each other, so that nothing steps where one window follows the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from latentsync.engines.diffusion.mel import SAMPLE_RATE_HZ, Voice, log_mel, loudest
from latentsync.engines.diffusion.models.whisper import WhisperEncoder
from latentsync.engines.diffusion.spec import rows_heard
from latentsync.engines.diffusion.whisper import TransformersWhisper, load_whisper
from latentsync.errors import UnusableFile
from latentsync.storage.mapped import open_array

HOP_ROWS = 750  # 15 s between windows of 30 s: the middle 15 s of each are kept
FADE_ROWS = 50  # 1 s, where the kept parts meet


@dataclass(frozen=True)
class VoiceFeatures:
    """Features of one voice on disk, (T, layers, C) float32 in ``path`` (.npy)."""

    path: Path
    samples: int  # of the 16 kHz signal

    def tokens(self, frame: int, fps: Fraction) -> np.ndarray:
        """What video frame ``frame`` hears, (10 * layers, C) float32; the ends are repeated."""
        return frame_tokens(self.path, frame, frame + 1, fps)[0]

    def frame_count(self, fps: Fraction) -> int:
        """Whole video frames that the voice covers: ``floor(samples * fps / 16000)``."""
        return int(self.samples * fps / SAMPLE_RATE_HZ)


def extract_features(
    audio: Path, whisper_weights: Path, out: Path, *, device: str | torch.device = "cpu"
) -> VoiceFeatures:
    """Write the features of a 16 kHz mono 16-bit WAV file to ``out``, in flat memory.

    Raises ``InputError`` for other audio or none, ``WeightsError`` for weights that do not fit.
    """
    return write_features(audio, load_whisper(whisper_weights, device), out)


def write_features(audio: Path, encoder: WhisperEncoder | TransformersWhisper, out: Path) -> VoiceFeatures:
    """``extract_features`` with an encoder that is loaded already, on the encoder's device."""
    voice = Voice(audio)
    rows = voice.mel_frames // 2
    if rows == 0:
        raise UnusableFile(f"{audio} has {voice.samples} samples; a voice needs at least 320 (20 ms)")
    config = encoder.config
    shape = (rows, config.encoder_layers + 1, config.d_model)
    with open(out, "wb") as file:  # written in order, not through a map: a map would stay resident
        header = {"shape": shape, "descr": "<f4", "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, header)
        for block in _faded(_windows(voice, encoder), config.max_source_positions):
            file.write(block.tobytes())
    return VoiceFeatures(out, voice.samples)


def frame_tokens(path: Path, start: int, end: int, fps: Fraction) -> np.ndarray:
    """What video frames ``[start, end)`` hear, (end - start, 10 * layers, C) float32.

    ``path`` holds (T, layers, C). It is mapped only for the time of the call: a map kept open
    would count every page read so far as resident memory.
    """
    rows = open_array(path)
    index = np.array([rows_heard(frame, fps) for frame in range(start, end)])
    heard = rows[np.clip(index, 0, len(rows) - 1)]
    return heard.reshape(len(index), -1, rows.shape[-1])


@torch.no_grad()
def _windows(voice: Voice, encoder: WhisperEncoder | TransformersWhisper) -> Iterator[tuple[int, np.ndarray]]:
    """First row and rows (T, layers, C) of each window; only a lone window is padded."""
    positions = encoder.config.max_source_positions
    rows = voice.mel_frames // 2
    peak = loudest(voice)
    last = max(rows - positions, 0)
    for start in [*range(0, last, HOP_ROWS), last]:
        end = min(2 * (start + positions), voice.mel_frames)
        mel = log_mel(voice, 2 * start, end, peak)
        mel = F.pad(mel, (0, 2 * positions - mel.shape[1]))  # zeros in the mel domain, as in training
        heard = encoder(mel[None].to(next(encoder.parameters()).device))
        yield start, heard[0, : rows - start].cpu().numpy()


def _faded(windows: Iterator[tuple[int, np.ndarray]], positions: int) -> Iterator[np.ndarray]:
    """Join windows in order: the middle of each, with a linear fade where two meet."""
    rise = ((np.arange(FADE_ROWS, dtype=np.float32) + 0.5) / FADE_ROWS)[:, None, None]
    start, rows = next(windows)
    done = 0  # first row not yet given out
    for next_start, next_rows in windows:
        meet = (next_start + start + positions - FADE_ROWS) // 2  # the fade's first row
        yield rows[done - start : meet - start]
        old = rows[meet - start :][:FADE_ROWS]
        new = next_rows[meet - next_start :][:FADE_ROWS]
        yield old * (1 - rise) + new * rise
        start, rows, done = next_start, next_rows, meet + FADE_ROWS
    yield rows[done - start :]
