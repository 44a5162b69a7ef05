"""Models that write text, without training.

Their tokenizers know single bytes only: the merges that make words of them came with the training.
"""

from __future__ import annotations

from typing import Any

from webinfer.models.zoo.architectures.text.gpt2 import gpt2
from webinfer.models.zoo.architectures.text.llama import llama
from webinfer.models.zoo.formats.tokenizer import byte_characters, byte_tokenizer
from webinfer.models.zoo.random.entry import Architecture, one_file


def _companions(end: int, first: int) -> dict[str, Any]:
    """Return a tokenizer whose bytes have the ids from ``first`` on, and whose text ends with the token ``end``."""
    vocabulary = {character: first + at for at, character in enumerate(byte_characters())}
    vocabulary["<|endoftext|>"] = end
    tokenizer = byte_tokenizer(vocabulary, [], ["<|endoftext|>"])
    return {"tokenizer.json": tokenizer, "tokenizer_config.json": {"eos_token": "<|endoftext|>"}}


# Sizes as in the releases openai-community/gpt2 and HuggingFaceTB/SmolLM2-135M, and one of each for tests.
def _gpt2(layers: int, width: int, heads: int) -> Architecture:
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "layer_norm_epsilon": 1e-5,
        "n_embd": width,
        "n_head": heads,
        "n_layer": layers,
        "n_positions": 1024,
        "vocab_size": 50257,
    }
    return Architecture(config, one_file(gpt2), _companions(50256, 0))


_SMOLLM = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "silu",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "max_position_embeddings": 8192,
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "rms_norm_eps": 1e-5,
    "rope_theta": 100000.0,
    "tie_word_embeddings": True,
    "vocab_size": 49152,
}

MODELS = {
    "gpt2": _gpt2(12, 768, 12),
    "gpt2-tiny": _gpt2(2, 64, 2),
    "smollm-135m": Architecture(_SMOLLM, one_file(llama), _companions(0, 17)),  # 17 special tokens come first
}
