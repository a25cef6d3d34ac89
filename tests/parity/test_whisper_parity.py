from fractions import Fraction

import numpy as np
import pytest
from safetensors.torch import load_file

from latentsync.engines.diffusion.voice import VoiceFeatures, extract_features

FPS = Fraction(25)


@pytest.fixture(scope="module")
def golden(golden_folder) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in load_file(golden_folder / "whisper_io.safetensors").items()}


@pytest.fixture(scope="module")
def features(golden_folder, tmp_path_factory) -> VoiceFeatures:
    out = tmp_path_factory.mktemp("voice") / "features.npy"
    return extract_features(golden_folder / "demo1_audio.wav", golden_folder / "whisper_tiny_random.pt", out)


def test_rows_equal_the_reference(features, golden):
    rows = np.load(features.path, mmap_mode="r")
    assert rows.shape == (480, 5, 48)
    assert np.abs(rows - golden["features"]).max() <= 1e-4


def test_tokens_equal_the_reference_also_at_both_ends(features, golden):
    for frame, tokens in zip(golden["chunk_index"], golden["chunks"], strict=True):
        assert np.abs(features.tokens(int(frame), FPS) - tokens).max() <= 1e-4


def test_number_of_frames_is_that_of_the_samples(features):
    assert features.frame_count(FPS) == 240  # 153,600 samples: 9.6 s; the reference makes two more
