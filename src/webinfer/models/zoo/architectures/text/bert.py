"""BERT (Devlin et al., arXiv:1810.04805), as transformers' ``BertModel`` without the pooler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webinfer.models.zoo.architectures.encoder import Names, post_norm_layer
from webinfer.models.zoo.architectures.layers import (
    as_float32,
    dimension,
    embedding,
    layer_norm,
    padding_mask,
    require,
)
from webinfer.models.zoo.formats.graph import Graph

_NAMES = Names(
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    output="attention.output.dense",
    widen="intermediate.dense",
    narrow="output.dense",
    norm_attention="attention.output.LayerNorm",
    norm_inner="output.LayerNorm",
)


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
    require(config, {"hidden_act": "gelu", "position_embedding_type": "absolute"})
    graph = Graph("bert", dtype=dtype)
    shape = ("batch", "sequence")
    ids, attended, types = (
        graph.input(name, "int64", shape) for name in ("input_ids", "attention_mask", "token_type_ids")
    )
    x = _embeddings(graph, ids, types, config)
    mask = padding_mask(graph, attended)
    for number in range(config["num_hidden_layers"]):
        x = post_norm_layer(graph, x, f"encoder.layer.{number}", _NAMES, config, mask)
    graph.output(as_float32(graph, x), "last_hidden_state", "float32", (*shape, config["hidden_size"]))
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
