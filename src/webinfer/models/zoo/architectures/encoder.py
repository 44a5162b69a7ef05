"""Encoder layers, with the normalization before or after each part, and the patches that images enter them by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnx import TensorProto

from webinfer.models.zoo.architectures.layers import attention, gelu, layer_norm, linear, merge_heads, split_heads
from webinfer.models.zoo.formats.graph import Graph

Activation = Callable[[Graph, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a checkpoint calls the parts of a layer."""

    query: str
    key: str
    value: str
    output: str
    widen: str
    narrow: str
    norm_attention: str
    norm_inner: str


def encoder_layer(
    graph: Graph,
    x: str,
    prefix: str,
    names: Names,
    config: Mapping[str, Any],
    activation: Activation,
    mask: str | None = None,
) -> str:
    """Add a pre-norm layer: ``x + attention(norm(x))``, then ``x + inner(norm(x))`` (arXiv:2010.11929, equations 2-3).

    Args:
        graph: The graph.
        x: Shape (batch, sequence, hidden size).
        prefix: Name of the layer.
        names: Names of its parts.
        config: Has ``hidden_size``, ``intermediate_size``, ``num_attention_heads`` and ``layer_norm_eps``.
        activation: Between the two inner linear layers.
        mask: As ``attention`` takes it.

    Returns:
        Name of the sum.
    """
    width, inner, epsilon = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
    normed = layer_norm(graph, x, f"{prefix}.{names.norm_attention}", width, epsilon)
    x = graph.add("Add", x, _self_attention(graph, normed, prefix, names, config, mask))
    normed = layer_norm(graph, x, f"{prefix}.{names.norm_inner}", width, epsilon)
    wide = activation(graph, linear(graph, normed, f"{prefix}.{names.widen}", width, inner))
    return graph.add("Add", x, linear(graph, wide, f"{prefix}.{names.narrow}", inner, width))


def post_norm_layer(
    graph: Graph, x: str, prefix: str, names: Names, config: Mapping[str, Any], mask: str | None = None
) -> str:
    """Add a post-norm layer: ``norm(x + attention(x))``, then ``norm(x + inner(x))`` (arXiv:1706.03762, section 3.1).

    Args:
        graph: The graph.
        x: Shape (batch, sequence, hidden size).
        prefix: Name of the layer.
        names: Names of its parts.
        config: Has ``hidden_size``, ``intermediate_size``, ``num_attention_heads`` and ``layer_norm_eps``.
        mask: As ``attention`` takes it.

    Returns:
        Name of the second normalization's result, of the same shape.
    """
    width, inner, epsilon = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
    attended = _self_attention(graph, x, prefix, names, config, mask)
    x = layer_norm(graph, graph.add("Add", x, attended), f"{prefix}.{names.norm_attention}", width, epsilon)
    wide = gelu(graph, linear(graph, x, f"{prefix}.{names.widen}", width, inner))
    narrow = linear(graph, wide, f"{prefix}.{names.narrow}", inner, width)
    return layer_norm(graph, graph.add("Add", x, narrow), f"{prefix}.{names.norm_inner}", width, epsilon)


def _self_attention(
    graph: Graph, x: str, prefix: str, names: Names, config: Mapping[str, Any], mask: str | None
) -> str:
    width, heads = config["hidden_size"], config["num_attention_heads"]
    size = width // heads
    query, key, value = (
        linear(graph, x, f"{prefix}.{part}", width, width) for part in (names.query, names.key, names.value)
    )
    mixed = attention(
        graph,
        split_heads(graph, query, heads, size),
        split_heads(graph, key, heads, size, transposed=True),
        split_heads(graph, value, heads, size),
        size,
        mask,
    )
    return linear(graph, merge_heads(graph, mixed, width), f"{prefix}.{names.output}", width, width)


def pixel_values(graph: Graph, config: Mapping[str, Any], batch: str = "batch") -> str:
    """Declare the input ``pixel_values``: float32 of shape (batch, channels, image size, image size).

    Args:
        graph: The graph that nodes are added to.
        config: Configuration with ``num_channels`` and ``image_size``.
        batch: Name of the batch dimension.

    Returns:
        Name of the input.
    """
    size = config["image_size"]
    pixels = graph.input("pixel_values", "float32", (batch, config.get("num_channels", 3), size, size))
    return graph.add("Cast", pixels, to=TensorProto.FLOAT16) if graph.dtype.itemsize == 2 else pixels


def patches(graph: Graph, pixels: str, name: str, config: Mapping[str, Any], *, bias: bool) -> str:
    """Project the square patches of images, row by row.

    Args:
        graph: The graph that nodes are added to.
        pixels: Name of the images, shape (batch, channels, height, width).
        name: Name of the weights, without their endings.
        config: Configuration with ``patch_size`` and ``hidden_size``.
        bias: Whether the projection has a bias.

    Returns:
        Shape (batch, patches, hidden size).
    """
    width, side = config["hidden_size"], config["patch_size"]
    weights = [graph.weight(f"{name}.weight", (width, config.get("num_channels", 3), side, side))]
    weights += [graph.weight(f"{name}.bias", (width,))] if bias else []
    square = graph.add("Conv", pixels, *weights, kernel_shape=[side, side], strides=[side, side])
    flat = graph.add("Reshape", square, graph.constant([0, width, -1], "int64"))
    return graph.add("Transpose", flat, perm=[0, 2, 1])


def patch_count(config: Mapping[str, Any]) -> int:
    """Return how many patches an image has.

    Args:
        config: Configuration with ``image_size`` and ``patch_size``.
    """
    return int(config["image_size"] // config["patch_size"]) ** 2


def prepend(graph: Graph, x: str, token: str, count: int) -> str:
    """Put a learned token, shape (1, 1, hidden size), before ``count`` others, shape (batch, count, hidden size).

    ``Pad`` and ``Add`` need no shape that is only known while the model runs; WebNN takes none.

    Args:
        graph: The graph that nodes are added to.
        x: Name of the others.
        token: Name of the token.
        count: How many others there are.

    Returns:
        Name of the result, shape (batch, count + 1, hidden size).
    """
    shifted = graph.add("Pad", x, graph.constant([0, 1, 0, 0, 0, 0], "int64"))
    return graph.add("Add", shifted, graph.add("Pad", token, graph.constant([0, 0, 0, 0, count, 0], "int64")))


def first_token(graph: Graph, x: str) -> str:
    """Return the first position, shape (batch, hidden size).

    Args:
        graph: The graph that nodes are added to.
        x: Name of the activations, shape (batch, sequence, hidden size).

    Returns:
        Name of the result.
    """
    return graph.add("Gather", x, graph.constant(0, "int64"), axis=1)
