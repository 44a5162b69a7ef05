"""CLIP (Radford et al., arXiv:2103.00020), as transformers' ``CLIPModel``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from webinfer.models.zoo.architectures.encoder import (
    Names,
    encoder_layer,
    first_token,
    patch_count,
    patches,
    pixel_values,
    prepend,
)
from webinfer.models.zoo.architectures.layers import (
    HIDDEN,
    as_float32,
    dimension,
    embedding,
    layer_norm,
    linear,
    padding_mask,
)
from webinfer.models.zoo.formats.graph import Graph

_NAMES = Names(
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    output="self_attn.out_proj",
    widen="mlp.fc1",
    narrow="mlp.fc2",
    norm_attention="layer_norm1",
    norm_inner="layer_norm2",
)


def clip(config: Mapping[str, Any], *, dtype: str = "float32") -> Graph:
    """Return the graph of a CLIP model, both towers.

    Its inputs are ``input_ids`` and ``attention_mask``, int64 of shape (texts, sequence), and ``pixel_values``, float32
    of shape (images, channels, image size, image size); its outputs ``logits_per_image`` (images, texts),
    ``logits_per_text`` (texts, images), ``text_embeds`` (texts, projection) and ``image_embeds`` (images, projection),
    float32, the embeddings of length 1.

    Args:
        config: transformers' config.json of the model, with ``text_config`` and ``vision_config`` in full.
        dtype: Dtype of weights and activations.

    Raises:
        ValueError: The configuration asks for a variant that this is not.
    """
    text, vision, size = config["text_config"], config["vision_config"], config["projection_dim"]
    for part in (text, vision):
        if part["hidden_act"] != "quick_gelu":
            raise ValueError(f"Only hidden_act 'quick_gelu' can be built, not {part['hidden_act']!r}.")
    graph = Graph("clip", dtype=dtype)
    ids = graph.input("input_ids", "int64", ("texts", "sequence"))
    pixels = pixel_values(graph, vision, "images")
    mask = graph.input("attention_mask", "int64", ("texts", "sequence"))
    words = _project(graph, _text(graph, ids, mask, text), "text_projection", text["hidden_size"], size)
    views = _project(graph, _vision(graph, pixels, vision), "visual_projection", vision["hidden_size"], size)
    scale = graph.add("Exp", graph.weight("logit_scale", ()))
    per_text = graph.add("Mul", graph.add("MatMul", words, graph.add("Transpose", views, perm=[1, 0])), scale)
    per_image = graph.add("Transpose", per_text, perm=[1, 0])
    graph.output(as_float32(graph, per_image), "logits_per_image", "float32", ("images", "texts"))
    graph.output(as_float32(graph, per_text), "logits_per_text", "float32", ("texts", "images"))
    graph.output(as_float32(graph, words), "text_embeds", "float32", ("texts", size))
    graph.output(as_float32(graph, views), "image_embeds", "float32", ("images", size))
    return graph


def quick_gelu(graph: Graph, x: str) -> str:
    """Add ``x * sigmoid(1.702 x)``, the quick approximation of GELU (Hendrycks and Gimpel, arXiv:1606.08415).

    Args:
        graph: The graph that nodes are added to.
        x: Name of the activations.

    Returns:
        Name of the result, of the same shape.
    """
    return graph.add("Mul", x, graph.add("Sigmoid", graph.add("Mul", x, graph.constant(1.702))))


def _text(graph: Graph, ids: str, attended: str, config: Mapping[str, Any]) -> str:
    """Return the state at each text's end token, shape (texts, hidden size)."""
    width, longest = config["hidden_size"], config["max_position_embeddings"]
    length, zero = dimension(graph, ids, 1), graph.constant([0], "int64")
    x = embedding(graph, ids, "text_model.embeddings.token_embedding", config["vocab_size"], width)
    table = graph.weight("text_model.embeddings.position_embedding.weight", (longest, width))
    x = graph.add("Add", x, graph.add("Slice", table, zero, length, zero))
    later = graph.constant(np.triu(np.full((longest, longest), HIDDEN), 1))
    both = graph.add("Concat", length, length, axis=0)
    starts, axes = (graph.constant(values, "int64") for values in ([0, 0], [0, 1]))
    causal = graph.add("Slice", later, starts, both, axes)
    mask = graph.add("Add", causal, padding_mask(graph, attended))
    for number in range(config["num_hidden_layers"]):
        x = encoder_layer(graph, x, f"text_model.encoder.layers.{number}", _NAMES, config, quick_gelu, mask)
    x = layer_norm(graph, x, "text_model.final_layer_norm", width, config["layer_norm_eps"])
    # The end token has the largest id of the vocabulary, so ArgMax finds its position.
    end = graph.add("ArgMax", ids, axis=1, keepdims=0)
    return graph.add("GatherND", x, graph.add("Unsqueeze", end, graph.constant([1], "int64")), batch_dims=1)


def _vision(graph: Graph, pixels: str, config: Mapping[str, Any]) -> str:
    """Return the state at each image's class token."""
    width, count, epsilon = config["hidden_size"], patch_count(config), config["layer_norm_eps"]
    embeddings = "vision_model.embeddings"
    x = patches(graph, pixels, f"{embeddings}.patch_embedding", config, bias=False)
    token = graph.weight(f"{embeddings}.class_embedding", (width,))
    token = graph.add("Reshape", token, graph.constant([1, 1, width], "int64"))
    x = prepend(graph, x, token, count)
    x = graph.add("Add", x, graph.weight(f"{embeddings}.position_embedding.weight", (1 + count, width)))
    x = layer_norm(graph, x, "vision_model.pre_layrnorm", width, epsilon)  # the checkpoint's own spelling
    for number in range(config["num_hidden_layers"]):
        x = encoder_layer(graph, x, f"vision_model.encoder.layers.{number}", _NAMES, config, quick_gelu)
    return layer_norm(graph, first_token(graph, x), "vision_model.post_layernorm", width, epsilon)


def _project(graph: Graph, x: str, name: str, width: int, size: int) -> str:
    """Return vectors of length 1 in the space that both towers share."""
    x = linear(graph, x, name, width, size, bias=False)
    return graph.add("Div", x, graph.add("ReduceL2", x, axes=[1], keepdims=1))
