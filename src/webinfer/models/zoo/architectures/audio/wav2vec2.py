"""wav2vec 2.0 (Baevski et al., arXiv:2006.11477) with letters on top, as transformers' ``Wav2Vec2ForCTC``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webinfer.models.zoo.architectures.encoder import Names, post_norm_layer
from webinfer.models.zoo.architectures.layers import gelu, layer_norm, linear, require
from webinfer.models.zoo.formats.graph import Graph

_ONLY = {
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "feat_extract_norm": "group",
    "do_stable_layer_norm": False,
    "conv_bias": False,
}
_NAMES = Names(
    query="attention.q_proj",
    key="attention.k_proj",
    value="attention.v_proj",
    output="attention.out_proj",
    widen="feed_forward.intermediate_dense",
    narrow="feed_forward.output_dense",
    norm_attention="layer_norm",
    norm_inner="final_layer_norm",
)


def wav2vec2(config: Mapping[str, Any]) -> Graph:
    """Return the graph of the base architecture: group norm in the first convolution, normalization after each layer.

    Its input ``input_values`` is float32 of shape (batch, samples), its output ``logits`` float32 of shape
    (batch, frames, vocabulary).

    Args:
        config: transformers' config.json of the model.

    Raises:
        ValueError: The configuration asks for a variant that this is not.
    """
    require(config, _ONLY)
    graph = Graph("wav2vec2")
    width, epsilon, name = config["hidden_size"], config["layer_norm_eps"], "wav2vec2"
    x = _convolutions(graph, graph.input("input_values", "float32", ("batch", "samples")), config)
    channels = config["conv_dim"][-1]
    x = layer_norm(graph, x, f"{name}.feature_projection.layer_norm", channels, epsilon)
    x = linear(graph, x, f"{name}.feature_projection.projection", channels, width)
    x = graph.add("Add", x, _positions(graph, x, config))
    x = layer_norm(graph, x, f"{name}.encoder.layer_norm", width, epsilon)
    for number in range(config["num_hidden_layers"]):
        x = post_norm_layer(graph, x, f"{name}.encoder.layers.{number}", _NAMES, config)
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
            x = graph.add("InstanceNormalization", x, scale, bias, epsilon=1e-5)  # torch's default
        x = gelu(graph, x)
    return graph.add("Transpose", x, perm=[0, 2, 1])


def _positions(graph: Graph, x: str, config: Mapping[str, Any]) -> str:
    """Return the convolution that tells positions apart, of the shape of ``x``."""
    width, kernel, groups = (
        config["hidden_size"],
        config["num_conv_pos_embeddings"],
        config["num_conv_pos_embedding_groups"],
    )
    name = "wav2vec2.encoder.pos_conv_embed.conv"
    weight = graph.weight(f"{name}.weight", (width, width // groups, kernel))
    bias = graph.weight(f"{name}.bias", (width,))
    # transformers pads both ends by half the kernel, and drops the last frame of an even one: that is one less here.
    pads = [kernel // 2, kernel // 2 - (kernel % 2 == 0)]
    y = graph.add("Transpose", x, perm=[0, 2, 1])
    y = gelu(graph, graph.add("Conv", y, weight, bias, kernel_shape=[kernel], pads=pads, group=groups))
    return graph.add("Transpose", y, perm=[0, 2, 1])
