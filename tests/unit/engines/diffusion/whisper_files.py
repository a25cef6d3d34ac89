"""Small random whispers in the two forms that people have."""

from pathlib import Path
from typing import Any

import torch
from transformers import WhisperConfig, WhisperModel

# transformers' names -> OpenAI's, in this order.
_OPENAI_NAMES = {
    "embed_positions.weight": "positional_embedding",
    "layers.": "blocks.",
    "self_attn_layer_norm.": "attn_ln.",
    "final_layer_norm.": "mlp_ln.",
    "layer_norm.": "ln_post.",
    "self_attn.q_proj.": "attn.query.",
    "self_attn.k_proj.": "attn.key.",
    "self_attn.v_proj.": "attn.value.",
    "self_attn.out_proj.": "attn.out.",
    "fc1.": "mlp.0.",
    "fc2.": "mlp.2.",
}


def random_model(channels: int = 32, layers: int = 2, mel_bins: int = 80) -> WhisperModel:
    """Encoder and decoder; norms that are not the identity, so that a norm too many is seen."""
    torch.manual_seed(0)
    model = WhisperModel(
        WhisperConfig(
            vocab_size=64,
            d_model=channels,
            num_mel_bins=mel_bins,
            encoder_layers=layers,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=4 * channels,
            decoder_ffn_dim=channels,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
        )
    )
    for name, parameter in model.named_parameters():
        if "layer_norm" in name:
            torch.nn.init.normal_(parameter)
    return model.eval()


def write_openai(path: Path, encoder: Any) -> Path:
    """The encoder as OpenAI publishes it, among the decoder's tensors."""
    config = encoder.config
    weights = {f"encoder.{_openai_name(name)}": tensor for name, tensor in encoder.state_dict().items()}
    weights["decoder.token_embedding.weight"] = torch.zeros(4, config.d_model)
    dims = {
        "n_mels": config.num_mel_bins,
        "n_audio_ctx": config.max_source_positions,
        "n_audio_state": config.d_model,
        "n_audio_head": config.encoder_attention_heads,
        "n_audio_layer": config.encoder_layers,
        "n_vocab": 4,
    }
    torch.save({"dims": dims, "model_state_dict": weights}, path)
    return path


def _openai_name(name: str) -> str:
    for theirs, openai in _OPENAI_NAMES.items():
        name = name.replace(theirs, openai)
    return name
