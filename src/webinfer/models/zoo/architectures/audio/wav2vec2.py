"""wav2vec 2.0 (Baevski et al., arXiv:2006.11477) with letters on top, as transformers' ``Wav2Vec2ForCTC``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webinfer.models.zoo.architectures.layers import attention, gelu, layer_norm, linear, merge_heads, split_heads
from webinfer.models.zoo.formats.graph import Graph


def wav2vec2(config: Mapping[str, Any]) -> Graph:
    """Return the graph of the base architecture: group norm in the first convolution, normalization after each layer.

    Its input ``input_values`` is float32 of shape (batch, samples), its output ``logits`` float32 of shape
    (batch, frames, vocabulary).

    Args:
        config: transformers' config.json of the model.

    Raises:
        ValueError: The configuration asks for a variant that this is not.
    """
    fixed = {"hidden_act": "gelu", "feat_extract_activation": "gelu", "feat_extract_norm": "group"}
    for key, only in {**fixed, "do_stable_layer_norm": False, "conv_bias": False}.items():
        if config.get(key, only) != only:
            raise ValueError(f"Only {key} {only!r} can be built, not {config[key]!r}.")
    graph = Graph("wav2vec2")
    width, epsilon, name = config["hidden_size"], config["layer_norm_eps"], "wav2vec2"
    x = _convolutions(graph, graph.input("input_values", "float32", ("batch", "samples")), config)
    channels = config["conv_dim"][-1]
    x = layer_norm(graph, x, f"{name}.feature_projection.layer_norm", channels, epsilon)
    x = linear(graph, x, f"{name}.feature_projection.projection", channels, width)
    x = graph.add("Add", x, _positions(graph, x, config))
    x = layer_norm(graph, x, f"{name}.encoder.layer_norm", width, epsilon)
    for number in range(config["num_hidden_layers"]):
        x = _layer(graph, x, f"{name}.encoder.layers.{number}", config)
    logits = linear(graph, x, "lm_head", width, config["vocab_size"])
    graph.output(logits, "logits", "float32", ("batch", "frames", config["vocab_size"]))
    return graph


def _convolutions(graph: Graph, x: str, config: Mapping[str, Any]) -> str:
    """Return frames of samples, (batch, frames, channels); the first layer normalizes each channel over time."""
    x, size = graph.add("Unsqueeze", x, graph.constant([1], "int64")), 1
    layers = zip(config["conv_dim"], config["conv_kernel"], config["conv_stride"], strict=True)
    for number, (channels, kernel, stride) in enumerate(layers):
        name = f"wav2vec2.feature_extractor.conv_layers.{number}"
        weight = graph.weight(f"{name}.conv.weight", (channels, size, kernel))
        x, size = graph.add("Conv", x, weight, kernel_shape=[kernel], strides=[stride]), channels
        if number == 0:
            scale, bias = (graph.weight(f"{name}.layer_norm.{part}", (channels,)) for part in ("weight", "bias"))
            x = graph.add("InstanceNormalization", x, scale, bias, epsilon=1e-5)  # torch's default, which it has
        x = gelu(graph, x)
    return graph.add("Transpose", x, perm=[0, 2, 1])


def _positions(graph: Graph, x: str, config: Mapping[str, Any]) -> str:
    """Return the sum with the convolution for positions. Its kernel is even, so it makes one frame too many."""
    width, kernel, groups = (
        config["hidden_size"],
        config["num_conv_pos_embeddings"],
        config["num_conv_pos_embedding_groups"],
    )
    name = "wav2vec2.encoder.pos_conv_embed.conv"
    weight = graph.weight(f"{name}.weight", (width, width // groups, kernel))
    bias = graph.weight(f"{name}.bias", (width,))
    pads = [kernel // 2, kernel // 2 - (kernel % 2 == 0)]
    y = graph.add("Transpose", x, perm=[0, 2, 1])
    y = gelu(graph, graph.add("Conv", y, weight, bias, kernel_shape=[kernel], pads=pads, group=groups))
    return graph.add("Transpose", y, perm=[0, 2, 1])


def _layer(graph: Graph, x: str, name: str, config: Mapping[str, Any]) -> str:
    width, inner, epsilon = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
    heads = config["num_attention_heads"]
    size = width // heads
    query, key, value = (linear(graph, x, f"{name}.attention.{part}_proj", width, width) for part in ("q", "k", "v"))
    mixed = attention(
        graph,
        split_heads(graph, query, heads, size),
        split_heads(graph, key, heads, size, transposed=True),
        split_heads(graph, value, heads, size),
        size,
    )
    output = linear(graph, merge_heads(graph, mixed, width), f"{name}.attention.out_proj", width, width)
    x = layer_norm(graph, graph.add("Add", x, output), f"{name}.layer_norm", width, epsilon)
    wide = gelu(graph, linear(graph, x, f"{name}.feed_forward.intermediate_dense", width, inner))
    output = linear(graph, wide, f"{name}.feed_forward.output_dense", inner, width)
    return layer_norm(graph, graph.add("Add", x, output), f"{name}.final_layer_norm", width, epsilon)
