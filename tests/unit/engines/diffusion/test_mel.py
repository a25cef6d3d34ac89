import itertools

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from latentsync.engines.diffusion.mel import Voice, log_mel, loudest, mel_filters
from latentsync.errors import InputError
from tests.unit.engines.signals import speech_like, write_wav


def whole_log_mel(samples: np.ndarray) -> torch.Tensor:
    """The textbook form: everything at once."""
    signal = torch.from_numpy(samples.astype(np.float32) / 32768)
    spectrum = torch.stft(signal, 400, 160, window=torch.hann_window(400), return_complex=True)
    power = mel_filters() @ spectrum[:, :-1].abs() ** 2
    log = torch.log10(power.clamp(min=1e-10))
    return (torch.maximum(log, log.max() - 8.0) + 4.0) / 4.0


def test_blocks_equal_the_whole_signal(tmp_path):
    samples = speech_like(7.03)
    voice = Voice(write_wav(tmp_path / "voice.wav", samples))
    peak = loudest(voice)
    borders = [0, 1, 250, 251, 600, voice.mel_frames]
    blocks = [log_mel(voice, start, end, peak) for start, end in itertools.pairwise(borders)]
    torch.testing.assert_close(torch.cat(blocks, dim=1), whole_log_mel(samples), atol=1e-5, rtol=0)


def test_the_loudest_point_is_found_wherever_it_is(tmp_path):
    samples = speech_like(65)
    samples[: 62 * 16000] //= 50
    voice = Voice(write_wav(tmp_path / "voice.wav", samples))
    start = log_mel(voice, 0, 3000, loudest(voice))
    torch.testing.assert_close(start, whole_log_mel(samples)[:, :3000], atol=1e-5, rtol=0)


def test_silence_is_finite(tmp_path):
    voice = Voice(write_wav(tmp_path / "voice.wav", np.zeros(16000, np.int16)))
    assert loudest(voice) == pytest.approx(-10)
    assert torch.isfinite(log_mel(voice, 0, 100, loudest(voice))).all()


def test_only_the_asked_samples_are_read(tmp_path):
    samples = speech_like(2)
    voice = Voice(write_wav(tmp_path / "voice.wav", samples))
    assert np.array_equal(voice.read(1000, 1400) * 32768, samples[1000:1400])
    assert np.array_equal(voice.read(-3, 2) * 32768, samples[[3, 2, 1, 0, 1]])
    assert np.array_equal(voice.read(31998, 32003) * 32768, samples[[-2, -1, -2, -3, -4]])


@pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (16000, 2)])
def test_other_formats_are_refused_with_the_remedy(tmp_path, rate, channels):
    path = write_wav(tmp_path / "voice.wav", speech_like(1), rate, channels)
    with pytest.raises(InputError, match=rf"{rate} Hz, {channels} channels.*ffmpeg -i"):
        Voice(path)


def test_a_file_that_is_no_sound_is_refused(tmp_path):
    path = tmp_path / "voice.wav"
    path.write_text("no sound")
    with pytest.raises(InputError, match=r"voice\.wav is no readable WAV"):
        Voice(path)


def test_the_numbers_are_those_of_transformers_own_extractor(tmp_path):
    samples = speech_like(30)
    voice = Voice(write_wav(tmp_path / "voice.wav", samples))
    theirs = WhisperFeatureExtractor()(samples / 32768, sampling_rate=16000, return_tensors="pt").input_features[0]
    torch.testing.assert_close(log_mel(voice, 0, 3000, loudest(voice)), theirs, atol=1e-5, rtol=0)
