"""Whisper (Radford et al., arXiv:2212.04356), as transformers' ``WhisperForConditionalGeneration``, in two graphs.

Besides its hidden state, the encoder gives the keys and values that the decoder attends to. They are the same for every
token, so one graph of the decoder serves the first tokens and all later ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from webinfer.models.zoo.architectures.layers import (
    HIDDEN,
    attention,
    dimension,
    embedding,
    gelu,
    layer_norm,
    linear,
    merge_heads,
    require,
    split_heads,
)
from webinfer.models.zoo.formats.graph import Graph

EPSILON = 1e-5  # of its normalizations; the configuration does not state it
ENCODER, DECODER = "encoder_model", "decoder_model_merged"  # names of the files, as on the hub


def whisper(config: Mapping[str, Any]) -> dict[str, Graph]:
    """Return the two graphs, by the names of their files.

    The encoder takes ``input_features``, float32 of shape (batch, mels, 2 * positions), and gives
    ``last_hidden_state``, (batch, positions, width), and for each layer of the decoder
    ``present.N.encoder.key`` and ``.value``, (batch, heads, positions, size).

    The decoder takes ``input_ids``, int64 of shape (batch, sequence), those as ``past_key_values.N.encoder.key`` and
    ``.value``, and its own ``past_key_values.N.decoder.key`` and ``.value``, (batch, heads, past, size), which are
    empty at first. It gives ``logits``, (batch, sequence, vocabulary), and ``present.N.decoder.key`` and ``.value``.

    Args:
        config: transformers' config.json of the model.

    Raises:
        ValueError: The configuration asks for a variant that this is not.
    """
    require(config, {"activation_function": "gelu", "scale_embedding": False, "tie_word_embeddings": True})
    return {ENCODER: _encoder(config), DECODER: _decoder(config)}


def sinusoids(count: int, width: int) -> NDArray[np.float32]:
    """Return the encoder's positions, which are not learned: sines beside cosines (arXiv:1706.03762, section 3.5).

    Args:
        count: Positions.
        width: Of the hidden state.

    Returns:
        float32 of shape (count, width); the wave lengths rise from 2 pi to 20,000 pi.
    """
    scales = np.exp(-np.log(10_000) / (width // 2 - 1) * np.arange(width // 2))
    angles = np.arange(count)[:, None] * scales
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def _encoder(config: Mapping[str, Any]) -> Graph:
    graph = Graph("whisper_encoder")
    width, heads, positions = config["d_model"], config["encoder_attention_heads"], config["max_source_positions"]
    mels, name = config["num_mel_bins"], "model.encoder"
    x = graph.input("input_features", "float32", ("batch", mels, 2 * positions))
    for part, size_in, stride in (("conv1", mels, 1), ("conv2", width, 2)):
        kernel, bias = graph.weight(f"{name}.{part}.weight", (width, size_in, 3)), f"{name}.{part}.bias"
        x = graph.add("Conv", x, kernel, graph.weight(bias, (width,)), kernel_shape=[3], pads=[1, 1], strides=[stride])
        x = gelu(graph, x)
    table = graph.weight(f"{name}.embed_positions.weight", (positions, width))
    x = graph.add("Add", graph.add("Transpose", x, perm=[0, 2, 1]), table)
    for number in range(config["encoder_layers"]):
        layer = f"{name}.layers.{number}"
        y = layer_norm(graph, x, f"{layer}.self_attn_layer_norm", width, EPSILON)
        query = _heads(graph, y, f"{layer}.self_attn.q_proj", width, heads)
        key, value = _keys_and_values(graph, y, f"{layer}.self_attn", width, heads)
        x = graph.add("Add", x, _attend(graph, query, key, value, f"{layer}.self_attn", width, heads))
        x = _feed_forward(graph, x, layer, width, config["encoder_ffn_dim"])
    x = layer_norm(graph, x, f"{name}.layer_norm", width, EPSILON)
    graph.output(x, "last_hidden_state", "float32", ("batch", positions, width))
    heads = config["decoder_attention_heads"]
    for number in range(config["decoder_layers"]):
        cross = _keys_and_values(graph, x, f"model.decoder.layers.{number}.encoder_attn", width, heads)
        for kind, value in zip(("key", "value"), cross, strict=True):
            shape = ("batch", heads, positions, width // heads)
            graph.output(value, f"present.{number}.encoder.{kind}", "float32", shape)
    return graph


def _decoder(config: Mapping[str, Any]) -> Graph:
    graph = Graph("whisper_decoder")
    width, heads, vocabulary = config["d_model"], config["decoder_attention_heads"], config["vocab_size"]
    layers, name = config["decoder_layers"], "model.decoder"
    ids = graph.input("input_ids", "int64", ("batch", "sequence"))
    shapes = {side: ("batch", heads, f"{side}_past", width // heads) for side in ("decoder", "encoder")}
    past = {
        (number, side, kind): graph.input(f"past_key_values.{number}.{side}.{kind}", "float32", shapes[side])
        for number in range(layers)
        for side in ("decoder", "encoder")
        for kind in ("key", "value")
    }
    before = dimension(graph, past[0, "decoder", "key"], 2)
    total = graph.add("Add", before, dimension(graph, ids, 1))
    mask = _causal_mask(graph, before, total, config["max_target_positions"])
    table = graph.weight(f"{name}.embed_positions.weight", (config["max_target_positions"], width))
    zero = graph.constant([0], "int64")
    words = embedding(graph, ids, f"{name}.embed_tokens", vocabulary, width)
    x = graph.add("Add", words, graph.add("Slice", table, before, total, zero))
    grown = []
    for number in range(layers):
        layer = f"{name}.layers.{number}"
        y = layer_norm(graph, x, f"{layer}.self_attn_layer_norm", width, EPSILON)
        query = _heads(graph, y, f"{layer}.self_attn.q_proj", width, heads)
        new = _keys_and_values(graph, y, f"{layer}.self_attn", width, heads)
        key, value = (
            graph.add("Concat", past[number, "decoder", kind], array, axis=2)
            for kind, array in zip(("key", "value"), new, strict=True)
        )
        grown.append((key, value))
        x = graph.add("Add", x, _attend(graph, query, key, value, f"{layer}.self_attn", width, heads, mask))
        y = layer_norm(graph, x, f"{layer}.encoder_attn_layer_norm", width, EPSILON)
        query = _heads(graph, y, f"{layer}.encoder_attn.q_proj", width, heads)
        key, value = (past[number, "encoder", kind] for kind in ("key", "value"))
        x = graph.add("Add", x, _attend(graph, query, key, value, f"{layer}.encoder_attn", width, heads))
        x = _feed_forward(graph, x, layer, width, config["decoder_ffn_dim"])
    x = layer_norm(graph, x, f"{name}.layer_norm", width, EPSILON)
    graph.output(_logits(graph, x, width, vocabulary), "logits", "float32", ("batch", "sequence", vocabulary))
    for number, pair in enumerate(grown):
        for kind, value in zip(("key", "value"), pair, strict=True):
            shape = ("batch", heads, "total", width // heads)
            graph.output(value, f"present.{number}.decoder.{kind}", "float32", shape)
    return graph


def _heads(graph: Graph, x: str, name: str, width: int, heads: int, *, bias: bool = True) -> str:
    return split_heads(graph, linear(graph, x, name, width, width, bias=bias), heads, width // heads)


def _keys_and_values(graph: Graph, x: str, name: str, width: int, heads: int) -> tuple[str, str]:
    key = _heads(graph, x, f"{name}.k_proj", width, heads, bias=False)  # Whisper's keys have none
    return key, _heads(graph, x, f"{name}.v_proj", width, heads)


def _attend(
    graph: Graph, query: str, key: str, value: str, name: str, width: int, heads: int, mask: str | None = None
) -> str:
    keys = graph.add("Transpose", key, perm=[0, 1, 3, 2])
    mixed = merge_heads(graph, attention(graph, query, keys, value, width // heads, mask), width)
    return linear(graph, mixed, f"{name}.out_proj", width, width)


def _feed_forward(graph: Graph, x: str, layer: str, width: int, inner: int) -> str:
    y = layer_norm(graph, x, f"{layer}.final_layer_norm", width, EPSILON)
    wide = gelu(graph, linear(graph, y, f"{layer}.fc1", width, inner))
    return graph.add("Add", x, linear(graph, wide, f"{layer}.fc2", inner, width))


def _causal_mask(graph: Graph, before: str, total: str, longest: int) -> str:
    """Return scores to add that hide later positions: shape (sequence, total)."""
    positions, zero = graph.constant(list(range(longest)), "int64"), graph.constant([0], "int64")
    own = graph.add("Unsqueeze", graph.add("Slice", positions, before, total), graph.constant([1], "int64"))
    later = graph.add("Greater", graph.add("Slice", positions, zero, total), own)
    return graph.add("Mul", graph.add("Cast", later, to=TensorProto.FLOAT), graph.constant(HIDDEN))


def _logits(graph: Graph, x: str, width: int, vocabulary: int) -> str:
    """Return the scores of every token by the embeddings: Gemm takes them transposed, so they are stored once."""
    table = graph.weight("model.decoder.embed_tokens.weight", (vocabulary, width))
    rows = graph.add("Reshape", x, graph.constant([-1, width], "int64"))
    scores = graph.add("Gemm", rows, table, transB=1)
    shape = graph.add("Concat", graph.add("Shape", x, end=2), graph.constant([vocabulary], "int64"), axis=0)
    return graph.add("Reshape", scores, shape)
