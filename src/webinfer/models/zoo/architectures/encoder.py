"""The pre-norm transformer layer, which ViT and CLIP share, and the patches that images enter it by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from webinfer.models.zoo.architectures.layers import attention, layer_norm, linear, merge_heads, split_heads
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
    """Add ``x + attention(norm(x))``, and to that ``inner(norm(x))``, as ViT does (arXiv:2010.11929, equations 2-3).

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
    heads = config["num_attention_heads"]
    size = width // heads
    normed = layer_norm(graph, x, f"{prefix}.{names.norm_attention}", width, epsilon)
    query, key, value = (
        linear(graph, normed, f"{prefix}.{part}", width, width) for part in (names.query, names.key, names.value)
    )
    mixed = attention(
        graph,
        split_heads(graph, query, heads, size),
        split_heads(graph, key, heads, size, transposed=True),
        split_heads(graph, value, heads, size),
        size,
        mask,
    )
    attended = linear(graph, merge_heads(graph, mixed, width), f"{prefix}.{names.output}", width, width)
    x = graph.add("Add", x, attended)
    normed = layer_norm(graph, x, f"{prefix}.{names.norm_inner}", width, epsilon)
    wide = activation(graph, linear(graph, normed, f"{prefix}.{names.widen}", width, inner))
    return graph.add("Add", x, linear(graph, wide, f"{prefix}.{names.narrow}", inner, width))


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
    return graph.add("Cast", pixels, to=10) if graph.dtype.itemsize == 2 else pixels  # TensorProto.FLOAT16


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

    Padding and adding takes no shape that is known at run time only, which WebNN would not have.

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


def as_float32(graph: Graph, x: str) -> str:
    """Return activations as the float32 that outputs have.

    Args:
        graph: The graph that nodes are added to.
        x: Name of the activations.

    Returns:
        Name of the result, of the same shape.
    """
    return graph.add("Cast", x, to=1) if graph.dtype.itemsize == 2 else x  # TensorProto.FLOAT
