"""GPT-2 (Radford et al., 2019), as transformers' ``GPT2LMHeadModel`` with a cache."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from webinfer.models.zoo.architectures.decoder import Cache, logits
from webinfer.models.zoo.architectures.layers import attention, layer_norm, merge_heads, require, split_heads
from webinfer.models.zoo.formats.graph import Graph


def gpt2(config: Mapping[str, Any], *, dtype: str = "float32") -> Graph:
    """Return the graph of a GPT-2 decoder.

    Its inputs are ``input_ids`` and ``position_ids``, int64 of shape (batch, sequence), ``attention_mask``, int64 of
    shape (batch, total), and the cache; its outputs ``logits``, float32 of shape (batch, sequence, vocabulary), and
    the cache.

    Args:
        config: transformers' config.json of the model.
        dtype: Dtype of weights, activations and cache.

    Raises:
        ValueError: The configuration asks for a variant that this is not.
    """
    require(config, {"activation_function": "gelu_new"})
    width, heads, layers = config["n_embd"], config["n_head"], config["n_layer"]
    graph = Graph("gpt2", dtype=dtype)
    ids = graph.input("input_ids", "int64", ("batch", "sequence"))
    attended = graph.input("attention_mask", "int64", ("batch", "total"))
    positions = graph.input("position_ids", "int64", ("batch", "sequence"))
    cache = Cache(graph, layers, heads, width // heads)
    mask = cache.mask(ids, attended)
    words = graph.weight("transformer.wte.weight", (config["vocab_size"], width))
    places = graph.weight("transformer.wpe.weight", (config["n_positions"], width))
    x = graph.add("Add", graph.add("Gather", words, ids, axis=0), graph.add("Gather", places, positions, axis=0))
    for number in range(layers):
        x = _layer(graph, x, mask, cache, number, config)
    x = layer_norm(graph, x, "transformer.ln_f", width, config["layer_norm_epsilon"])
    logits(graph, x, words, config["vocab_size"])
    cache.give()
    return graph


def _layer(graph: Graph, x: str, mask: str, cache: Cache, number: int, config: Mapping[str, Any]) -> str:
    name, width, heads = f"transformer.h.{number}", config["n_embd"], config["n_head"]
    size, inner, epsilon = width // heads, config.get("n_inner") or 4 * width, config["layer_norm_epsilon"]
    mixed = _linear(
        graph, layer_norm(graph, x, f"{name}.ln_1", width, epsilon), f"{name}.attn.c_attn", width, 3 * width
    )
    parts = graph.add_many("Split", mixed, graph.constant([width] * 3, "int64"), outputs=3, axis=-1)
    query, key, value = (split_heads(graph, part, heads, size) for part in parts)
    key, value = cache.extend(number, "key", key), cache.extend(number, "value", value)
    turned = graph.add("Transpose", key, perm=[0, 1, 3, 2])
    context = merge_heads(graph, attention(graph, query, turned, value, size, mask), width)
    x = graph.add("Add", x, _linear(graph, context, f"{name}.attn.c_proj", width, width))
    wide = _linear(graph, layer_norm(graph, x, f"{name}.ln_2", width, epsilon), f"{name}.mlp.c_fc", width, inner)
    return graph.add("Add", x, _linear(graph, _gelu(graph, wide), f"{name}.mlp.c_proj", inner, width))


def _linear(graph: Graph, x: str, name: str, size_in: int, size_out: int) -> str:
    """Return the name of ``x @ weight + bias``: GPT-2 keeps its weights as (in, out)."""
    product = graph.add("MatMul", x, graph.weight(f"{name}.weight", (size_in, size_out)))
    return graph.add("Add", product, graph.weight(f"{name}.bias", (size_out,)))


def _gelu(graph: Graph, x: str) -> str:
    """Return GELU's approximation, ``0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`` (arXiv:1606.08415)."""
    cube = graph.add("Mul", x, graph.add("Mul", x, x))
    inside = graph.add("Add", x, graph.add("Mul", graph.constant(0.044715), cube))
    tanh = graph.add("Tanh", graph.add("Mul", graph.constant(math.sqrt(2 / math.pi)), inside))
    return graph.add("Mul", graph.add("Mul", x, graph.constant(0.5)), graph.add("Add", tanh, graph.constant(1)))
