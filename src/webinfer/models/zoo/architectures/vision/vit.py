"""ViT (Dosovitskiy et al., arXiv:2010.11929), as transformers' ``ViTForImageClassification`` and ``ViTModel``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webinfer.models.zoo.architectures.encoder import (
    Names,
    encoder_layer,
    first_token,
    patch_count,
    patches,
    pixel_values,
    prepend,
)
from webinfer.models.zoo.architectures.layers import as_float32, gelu, layer_norm, linear, require
from webinfer.models.zoo.formats.graph import Graph

_NAMES = Names(
    query="attention.attention.query",
    key="attention.attention.key",
    value="attention.attention.value",
    output="attention.output.dense",
    widen="intermediate.dense",
    narrow="output.dense",
    norm_attention="layernorm_before",
    norm_inner="layernorm_after",
)


def vit(config: Mapping[str, Any], *, dtype: str = "float32") -> Graph:
    """Return the graph of a vision transformer.

    Its input ``pixel_values`` is float32 of shape (batch, channels, image size, image size). A
    ``ViTForImageClassification`` gives ``logits``, float32 of shape (batch, labels); a ``ViTModel`` gives
    ``last_hidden_state``, float32 of shape (batch, 1 + patches, hidden size), and ``pooler_output``, float32 of shape
    (batch, hidden size).

    Args:
        config: transformers' config.json of the model.
        dtype: Dtype of weights and activations.

    Raises:
        ValueError: The configuration asks for a variant that this is not.
    """
    require(config, {"hidden_act": "gelu", "qkv_bias": True, "pooler_act": "tanh"})
    classifies = config["architectures"] == ["ViTForImageClassification"]
    prefix = "vit." if classifies else ""
    width, count = config["hidden_size"], patch_count(config)
    graph = Graph("vit", dtype=dtype)
    embeddings = f"{prefix}embeddings"
    x = patches(graph, pixel_values(graph, config), f"{embeddings}.patch_embeddings.projection", config, bias=True)
    x = prepend(graph, x, graph.weight(f"{embeddings}.cls_token", (1, 1, width)), count)
    x = graph.add("Add", x, graph.weight(f"{embeddings}.position_embeddings", (1, 1 + count, width)))
    for number in range(config["num_hidden_layers"]):
        x = encoder_layer(graph, x, f"{prefix}encoder.layer.{number}", _NAMES, config, gelu)
    x = layer_norm(graph, x, f"{prefix}layernorm", width, config["layer_norm_eps"])
    if classifies:
        labels = len(config["id2label"])
        logits = linear(graph, first_token(graph, x), "classifier", width, labels)
        graph.output(as_float32(graph, logits), "logits", "float32", ("batch", labels))
    else:
        pooled = graph.add("Tanh", linear(graph, first_token(graph, x), "pooler.dense", width, width))
        graph.output(as_float32(graph, x), "last_hidden_state", "float32", ("batch", 1 + count, width))
        graph.output(as_float32(graph, pooled), "pooler_output", "float32", ("batch", width))
    return graph
