import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration, WhisperModel

from latentsync.engines.diffusion.whisper import TransformersWhisper, load_whisper
from latentsync.errors import WeightsError
from tests.unit.engines.diffusion.whisper_files import random_model, write_openai


@pytest.fixture(scope="module")
def model() -> WhisperModel:
    return random_model()


@pytest.fixture
def openai(model, tmp_path) -> Path:
    return write_openai(tmp_path / "tiny.pt", model.encoder)


def edit(path: Path, change) -> Path:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


def states(model: WhisperModel) -> dict[str, Tensor]:
    return model.encoder.state_dict()


def test_openais_file_is_loaded_as_it_is(model, openai):
    encoder = load_whisper(openai)
    assert not encoder.training
    assert encoder.state_dict().keys() == states(model).keys()
    assert all(torch.equal(tensor, states(model)[name]) for name, tensor in encoder.state_dict().items())


def test_a_folder_that_transformers_wrote_is_loaded_as_it_is(model, tmp_path):
    model.save_pretrained(tmp_path)
    assert all(torch.equal(tensor, states(model)[name]) for name, tensor in load_whisper(tmp_path).state_dict().items())


def test_a_folder_with_the_task_on_top_is_loaded_too(model, tmp_path):
    """openai/whisper-tiny on the hub has this form: its names begin with "model."."""
    task = WhisperForConditionalGeneration(model.config)
    task.model.load_state_dict(model.state_dict())
    task.save_pretrained(tmp_path)
    assert all(torch.equal(tensor, states(model)[name]) for name, tensor in load_whisper(tmp_path).state_dict().items())


def test_layers_are_transformers_own_around_the_blocks_without_the_final_norm(model, openai):
    encoder, mel = load_whisper(openai), torch.randn(1, 80, 3000)
    entered, left = [], []
    model.encoder.layers[0].register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    for block in model.encoder.layers:
        block.register_forward_hook(lambda _, inputs, output: left.append(output))
    with torch.no_grad():
        normed = model.encoder(mel).last_hidden_state
    layers = encoder(mel)
    assert layers.shape == (1, 1500, 3, 32)
    torch.testing.assert_close(layers, torch.stack([*entered, *left], dim=2), atol=1e-6, rtol=0)  # 0 on most CPUs
    assert (layers[:, :, -1] - normed).abs().max() > 0.1


def test_the_readable_encoder_says_the_same(openai):
    encoder, mel = load_whisper(openai), torch.randn(1, 80, 3000)
    with torch.no_grad():
        torch.testing.assert_close(TransformersWhisper.of(encoder)(mel), encoder(mel), atol=1e-6, rtol=0)


def test_missing_extra_and_misshapen_tensors_are_all_named(openai):
    def spoil(content) -> None:
        weights = content["model_state_dict"]
        del weights["encoder.blocks.1.mlp.2.bias"]
        weights["encoder.blocks.0.strange"] = torch.zeros(3)
        weights["encoder.ln_post.bias"] = torch.zeros(5)

    with pytest.raises(WeightsError) as caught:
        load_whisper(edit(openai, spoil))
    message = str(caught.value)
    assert "tiny.pt does not fit" in message
    assert "1 missing: layers.1.fc2.bias 32" in message
    assert "1 extra: layers.0.strange 3" in message
    assert "1 of another shape: layer_norm.bias 5 instead of 32" in message


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ({"n_audio_head": 5}, "32 channels are not divisible by 5 heads"),
        ({"n_audio_layer": "2"}, "its encoder_layers is '2', not a whole number"),
        ({"n_mels": 128}, "hears 128 mel bins, LatentSync was trained on 80"),
        ({"n_audio_layer": 3}, "15 missing: layers.2"),
    ],
)
def test_dims_that_do_not_fit_are_refused(openai, dims, message):
    with pytest.raises(WeightsError, match=rf"tiny\.pt.*{message}"):
        load_whisper(edit(openai, lambda content: content["dims"].update(dims)))


def test_a_file_that_is_no_whisper_is_refused(openai):
    with pytest.raises(WeightsError, match="its dims lack 'n_audio_ctx'"):
        load_whisper(edit(openai, lambda content: content["dims"].pop("n_audio_ctx")))
    with pytest.raises(WeightsError, match=r"no whisper file: it holds \['model_state_dict'\]"):
        load_whisper(edit(openai, lambda content: content.pop("dims")))


def test_a_folder_without_or_with_a_broken_configuration_is_refused(model, tmp_path):
    model.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    fields = json.loads(config.read_text())
    for content, message in (
        (json.dumps({**fields, "d_model": "wide"}), "its d_model is 'wide'"),
        ("[1]", r"config\.json holds no configuration"),
        ("{", r"config\.json holds no configuration"),
    ):
        config.write_text(content)
        with pytest.raises(WeightsError, match=message):
            load_whisper(tmp_path)
    config.unlink()
    with pytest.raises(WeightsError, match=r"config\.json is missing"):
        load_whisper(tmp_path)
