"""Configurations of published models of speech, as the hub has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_RATE = 16_000
# The characters of facebook/wav2vec2-base-960h by their ids: the blank, three that never occur, the space, and the
# letters by their frequency in English.
_LETTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")


def whisper_configs(
    size: str, *, suppress_tokens: Sequence[int] = (), begin_suppress_tokens: Sequence[int] = ()
) -> dict[str, Any]:
    """Return the configurations of a Whisper by the names of their files.

    Args:
        size: ``tiny``, or ``tiny.en`` for the one that knows English only.
        suppress_tokens: Tokens that are never generated, such as those of sounds that are no speech.
        begin_suppress_tokens: Tokens that are never generated first.
    """
    english = size.endswith(".en")
    end = 50_256 if english else 50_257  # the English vocabulary has one token fewer, so special ids are one lower
    special = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": end + 1}
    generation = {
        **special,
        "begin_suppress_tokens": list(begin_suppress_tokens),
        "suppress_tokens": list(suppress_tokens),
        "no_timestamps_token_id": end + 106,
        "is_multilingual": not english,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
    }
    layers = {
        f"{side}_{key}": value
        for side in ("encoder", "decoder")
        for key, value in {"layers": 4, "attention_heads": 6, "ffn_dim": 1536}.items()
    }
    config = {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": "gelu",
        "d_model": 384,
        **layers,
        "is_encoder_decoder": True,
        "max_source_positions": 1500,
        "max_target_positions": 448,
        "num_mel_bins": 80,
        "scale_embedding": False,
        "vocab_size": end + 1608,
        **special,
    }
    preprocessor = {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "chunk_length": 30,
        "feature_size": 80,
        "hop_length": 160,
        "n_fft": 400,
        "sampling_rate": _RATE,
    }
    return {
        "config.json": config,
        "generation_config.json": generation,
        "preprocessor_config.json": preprocessor,
    }


def wav2vec2_configs() -> dict[str, Any]:
    """Return the configurations of facebook/wav2vec2-base-960h by the names of their files."""
    config = {
        "architectures": ["Wav2Vec2ForCTC"],
        "model_type": "wav2vec2",
        "conv_bias": False,
        "conv_dim": [512] * 7,
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
        "do_stable_layer_norm": False,
        "feat_extract_activation": "gelu",
        "feat_extract_norm": "group",
        "hidden_act": "gelu",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-5,
        "num_attention_heads": 12,
        "num_conv_pos_embedding_groups": 16,
        "num_conv_pos_embeddings": 128,
        "num_hidden_layers": 12,
        "pad_token_id": 0,
        "vocab_size": len(_LETTERS),
    }
    preprocessor = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "do_normalize": True,
        "feature_size": 1,
        "return_attention_mask": False,
        "sampling_rate": _RATE,
    }
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "decoder": {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
        "model": {
            "type": "WordLevel",
            "vocab": {letter: number for number, letter in enumerate(_LETTERS)},
            "unk_token": "<unk>",
        },
    }
    return {"config.json": config, "preprocessor_config.json": preprocessor, "tokenizer.json": tokenizer}
