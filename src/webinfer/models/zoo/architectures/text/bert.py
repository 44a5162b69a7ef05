"""BERT (Devlin et al., arXiv:1810.04805), as transformers' ``BertModel`` without the pooler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webinfer.models.zoo.architectures.layers import (
    attention,
    dimension,
    embedding,
    gelu,
    layer_norm,
    linear,
    merge_heads,
    padding_mask,
    split_heads,
)
from webinfer.models.zoo.formats.graph import Graph


def bert(config: Mapping[str, Any], *, dtype: str = "float32") -> Graph:
    """Return the graph of a BERT encoder.

    Its inputs ``input_ids``, ``attention_mask`` and ``token_type_ids`` are int64 of shape (batch, sequence), its
    output ``last_hidden_state`` is float32 of shape (batch, sequence, hidden size).

    Args:
        config: transformers' config.json of the model.
        dtype: Dtype of weights and activations.

    Raises:
        ValueError: The configuration asks for a variant that this is not.
    """
    for key, only in (("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
        if config.get(key, only) != only:
            raise ValueError(f"Only {key} {only!r} can be built, not {config[key]!r}.")
    graph = Graph("bert", dtype=dtype)
    shape = ("batch", "sequence")
    ids, attended, types = (
        graph.input(name, "int64", shape) for name in ("input_ids", "attention_mask", "token_type_ids")
    )
    x = _embeddings(graph, ids, types, config)
    mask = padding_mask(graph, attended)
    for number in range(config["num_hidden_layers"]):
        x = _layer(graph, x, mask, f"encoder.layer.{number}", config)
    if dtype != "float32":
        x = graph.add("Cast", x, to=1)  # TensorProto.FLOAT
    graph.output(x, "last_hidden_state", "float32", (*shape, config["hidden_size"]))
    return graph


def _embeddings(graph: Graph, ids: str, types: str, config: Mapping[str, Any]) -> str:
    width = config["hidden_size"]
    words = embedding(graph, ids, "embeddings.word_embeddings", config["vocab_size"], width)
    kinds = embedding(graph, types, "embeddings.token_type_embeddings", config["type_vocab_size"], width)
    table = graph.weight("embeddings.position_embeddings.weight", (config["max_position_embeddings"], width))
    zero = graph.constant([0], "int64")
    positions = graph.add("Slice", table, zero, dimension(graph, ids, 1), zero)
    total = graph.add("Add", graph.add("Add", words, kinds), positions)
    return layer_norm(graph, total, "embeddings.LayerNorm", width, config["layer_norm_eps"])


def _layer(graph: Graph, x: str, mask: str, name: str, config: Mapping[str, Any]) -> str:
    width, inner, epsilon = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
    heads = config["num_attention_heads"]
    size = width // heads
    query, key, value = (
        linear(graph, x, f"{name}.attention.self.{part}", width, width) for part in ("query", "key", "value")
    )
    mixed = attention(
        graph,
        split_heads(graph, query, heads, size),
        split_heads(graph, key, heads, size, transposed=True),
        split_heads(graph, value, heads, size),
        size,
        mask,
    )
    output = linear(graph, merge_heads(graph, mixed, width), f"{name}.attention.output.dense", width, width)
    x = layer_norm(graph, graph.add("Add", x, output), f"{name}.attention.output.LayerNorm", width, epsilon)
    wide = gelu(graph, linear(graph, x, f"{name}.intermediate.dense", width, inner))
    output = linear(graph, wide, f"{name}.output.dense", inner, width)
    return layer_norm(graph, graph.add("Add", x, output), f"{name}.output.LayerNorm", width, epsilon)
