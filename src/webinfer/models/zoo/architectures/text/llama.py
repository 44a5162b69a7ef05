"""Llama (Touvron et al., arXiv:2302.13971) and relatives such as SmolLM, as ``LlamaForCausalLM`` with a cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from webinfer.models.zoo.architectures.decoder import Cache, logits
from webinfer.models.zoo.architectures.layers import as_float32, float_type, linear, merge_heads, require, split_heads
from webinfer.models.zoo.formats.graph import Graph

_ONLY = {"hidden_act": "silu", "tie_word_embeddings": True, "attention_bias": False, "rope_scaling": None}


def llama(config: Mapping[str, Any], *, dtype: str = "float32") -> Graph:
    """Return the graph of a Llama decoder.

    Its inputs are ``input_ids`` and ``position_ids``, int64 of shape (batch, sequence), ``attention_mask``, int64 of
    shape (batch, total), and the cache; its outputs ``logits``, float32 of shape (batch, sequence, vocabulary), and
    the cache.

    Args:
        config: transformers' config.json of the model.
        dtype: Dtype of weights, activations and cache; angles and norms are computed in float32.

    Raises:
        ValueError: The configuration asks for a variant that this is not.
    """
    require(config, _ONLY)
    width, heads, layers = config["hidden_size"], config["num_attention_heads"], config["num_hidden_layers"]
    graph = Graph("llama", dtype=dtype)
    ids = graph.input("input_ids", "int64", ("batch", "sequence"))
    attended = graph.input("attention_mask", "int64", ("batch", "total"))
    positions = graph.input("position_ids", "int64", ("batch", "sequence"))
    cache = Cache(graph, layers, config["num_key_value_heads"], width // heads)
    mask = graph.add("Unsqueeze", cache.mask(ids, attended), graph.constant([1], "int64"))
    turn = _angles(graph, positions, width // heads, config["rope_theta"])
    words = graph.weight("model.embed_tokens.weight", (config["vocab_size"], width))
    x = graph.add("Gather", words, ids, axis=0)
    for number in range(layers):
        x = _layer(graph, x, mask, turn, cache, number, config)
    logits(graph, _norm(graph, x, "model.norm", width, config["rms_norm_eps"]), words, config["vocab_size"])
    cache.give()
    return graph


def _layer(
    graph: Graph, x: str, mask: str, turn: tuple[str, str], cache: Cache, number: int, config: Mapping[str, Any]
) -> str:
    name, width, inner = f"model.layers.{number}", config["hidden_size"], config["intermediate_size"]
    heads, shared, epsilon = config["num_attention_heads"], config["num_key_value_heads"], config["rms_norm_eps"]
    size = width // heads
    normed = _norm(graph, x, f"{name}.input_layernorm", width, epsilon)
    query, key, value = (
        split_heads(graph, _linear(graph, normed, f"{name}.self_attn.{part}_proj", width, count * size), count, size)
        for part, count in (("q", heads), ("k", shared), ("v", shared))
    )
    query, key = _rotate(graph, query, turn, size), _rotate(graph, key, turn, size)
    key, value = cache.extend(number, "key", key), cache.extend(number, "value", value)
    context = _attention(graph, query, key, value, mask, heads, shared, size)
    x = graph.add(
        "Add", x, _linear(graph, merge_heads(graph, context, width), f"{name}.self_attn.o_proj", width, width)
    )
    normed = _norm(graph, x, f"{name}.post_attention_layernorm", width, epsilon)
    gate, up = (_linear(graph, normed, f"{name}.mlp.{part}_proj", width, inner) for part in ("gate", "up"))
    opened = graph.add("Mul", graph.add("Mul", gate, graph.add("Sigmoid", gate)), up)
    return graph.add("Add", x, _linear(graph, opened, f"{name}.mlp.down_proj", inner, width))


def _attention(graph: Graph, query: str, key: str, value: str, mask: str, heads: int, shared: int, size: int) -> str:
    """Add attention with keys and values shared by groups of heads (Ainslie et al., arXiv:2305.13245).

    The groups are an axis of their own, along which keys and values are broadcast, not copied.

    Returns:
        Name of the product.
    """
    grouped = graph.add("Reshape", query, graph.constant([0, shared, heads // shared, -1, size], "int64"))
    axis = graph.constant([2], "int64")
    keys, values = (graph.add("Unsqueeze", part, axis) for part in (key, value))
    scaled = graph.add("Mul", grouped, graph.constant(size**-0.5))
    scores = graph.add("MatMul", scaled, graph.add("Transpose", keys, perm=[0, 1, 2, 4, 3]))
    chances = graph.add("Softmax", graph.add("Add", scores, mask), axis=-1)
    return graph.add("Reshape", graph.add("MatMul", chances, values), graph.constant([0, heads, -1, size], "int64"))


def _angles(graph: Graph, positions: str, size: int, base: float) -> tuple[str, str]:
    """Return cosine and sine of ``position / base^(2i/size)``, (batch, 1, sequence, size/2) (arXiv:2104.09864)."""
    # Angles are float32 in every graph: float16 cannot hold every whole number above 2048.
    frequencies = graph.constant(1 / base ** (np.arange(0, size, 2) / size), "float32")
    places = graph.add("Unsqueeze", graph.add("Cast", positions, to=TensorProto.FLOAT), graph.constant([1, 3], "int64"))
    angles = graph.add("Mul", places, frequencies)
    cosine, sine = graph.add("Cos", angles), graph.add("Sin", angles)
    return graph.add("Cast", cosine, to=float_type(graph)), graph.add("Cast", sine, to=float_type(graph))


def _rotate(graph: Graph, x: str, turn: tuple[str, str], size: int) -> str:
    """Return the name of a head's values, with each pair (i, i + size/2) turned by its angle."""
    cosine, sine = turn
    low, high = graph.add_many("Split", x, graph.constant([size // 2] * 2, "int64"), outputs=2, axis=-1)
    turned = graph.add("Sub", graph.add("Mul", low, cosine), graph.add("Mul", high, sine))
    other = graph.add("Add", graph.add("Mul", high, cosine), graph.add("Mul", low, sine))
    return graph.add("Concat", turned, other, axis=-1)


def _norm(graph: Graph, x: str, name: str, size: int, epsilon: float) -> str:
    """Return the name of ``x / sqrt(mean(x^2) + epsilon) * weight`` (Zhang and Sennrich, arXiv:1910.07467)."""
    wide = as_float32(graph, x)  # squares of float16 overflow above 255
    mean = graph.add("ReduceMean", graph.add("Mul", wide, wide), axes=[-1], keepdims=1)
    root = graph.add("Sqrt", graph.add("Add", mean, graph.constant(epsilon, "float32")))
    normed = graph.add("Div", wide, root)
    if graph.dtype.itemsize == 2:
        normed = graph.add("Cast", normed, to=float_type(graph))
    return graph.add("Mul", normed, graph.weight(f"{name}.weight", (size,)))


def _linear(graph: Graph, x: str, name: str, size_in: int, size_out: int) -> str:
    return linear(graph, x, name, size_in, size_out, bias=False)
