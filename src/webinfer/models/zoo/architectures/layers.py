"""Layers that transformer architectures share.

Weights are declared under the names that transformers gives them: a linear layer ``name`` has ``name.weight`` of
shape (out, in) and ``name.bias``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from onnx import TensorProto

from webinfer.models.zoo.formats.graph import Graph

# Added to the scores of hidden positions. float16 holds it, and exp() of it is 0 in every float dtype.
HIDDEN = -1e4


def require(config: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse a configuration that asks for another variant than the one that is built.

    Args:
        config: transformers' config.json of a model.
        settings: The only values that can be built, by key. A key that ``config`` lacks has its value.

    Raises:
        ValueError: A value differs.
    """
    for key, only in settings.items():
        if config.get(key, only) != only:
            raise ValueError(f"Only {key} {only!r} can be built, not {config[key]!r}.")


def float_type(graph: Graph) -> int:
    """Return the number that ONNX has for the graph's dtype.

    Args:
        graph: The graph.
    """
    return int(TensorProto.FLOAT16 if graph.dtype.itemsize == 2 else TensorProto.FLOAT)


def as_float32(graph: Graph, x: str) -> str:
    """Return activations as float32, which all outputs have.

    Args:
        graph: The graph that nodes are added to.
        x: Name of the activations.

    Returns:
        Name of the result, of the same shape.
    """
    return graph.add("Cast", x, to=TensorProto.FLOAT) if graph.dtype.itemsize == 2 else x


def linear(graph: Graph, x: str, name: str, size_in: int, size_out: int, *, bias: bool = True) -> str:
    """Add ``x @ weight.T + bias``. The weight is stored transposed, as MatMul wants it.

    Args:
        graph: The graph that nodes are added to.
        x: Name of the activations, whose last axis has ``size_in``.
        name: Name of the weights, without their endings.
        size_in: Size of the last axis.
        size_out: Size of the last axis of the result.
        bias: Whether there is a bias.

    Returns:
        Name of the result.
    """
    product = graph.add("MatMul", x, graph.weight(f"{name}.weight", (size_out, size_in), transposed=True))
    return graph.add("Add", product, graph.weight(f"{name}.bias", (size_out,))) if bias else product


def layer_norm(graph: Graph, x: str, name: str, size: int, epsilon: float) -> str:
    """Add a layer normalization over the last axis.

    Args:
        graph: The graph that nodes are added to.
        x: Name of the activations.
        name: Name of the weights, without their endings.
        size: Size of the last axis.
        epsilon: What is added to the variance.

    Returns:
        Name of the result, of the same shape.
    """
    scale, bias = graph.weight(f"{name}.weight", (size,)), graph.weight(f"{name}.bias", (size,))
    return graph.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=epsilon)


def embedding(graph: Graph, ids: str, name: str, count: int, size: int) -> str:
    """Add a look-up in a table of shape (count, size).

    Args:
        graph: The graph that nodes are added to.
        ids: Name of the ids, int64.
        name: Name of the table.
        count: Rows of the table.
        size: Size of a row.

    Returns:
        Name of the result, whose last axis has ``size``.
    """
    return graph.add("Gather", graph.weight(f"{name}.weight", (count, size)), ids, axis=0)


def gelu(graph: Graph, x: str) -> str:
    """Add the exact GELU, ``0.5 x (1 + erf(x / sqrt(2)))`` (Hendrycks and Gimpel, arXiv:1606.08415).

    Args:
        graph: The graph that nodes are added to.
        x: Name of the activations.

    Returns:
        Name of the result, of the same shape.
    """
    error = graph.add("Erf", graph.add("Div", x, graph.constant(math.sqrt(2))))
    return graph.add("Mul", graph.add("Mul", x, graph.add("Add", error, graph.constant(1))), graph.constant(0.5))


def dimension(graph: Graph, x: str, axis: int) -> str:
    """Return the size of an axis, as int64 of shape (1,).

    Args:
        graph: The graph that nodes are added to.
        x: Name of the value.
        axis: Number of the axis.

    Returns:
        Name of the size.
    """
    return graph.add("Shape", x, start=axis, end=axis + 1)


def padding_mask(graph: Graph, mask: str) -> str:
    """Turn a mask of 1 and 0, shape (batch, sequence), into scores to add, shape (batch, 1, 1, sequence).

    Args:
        graph: The graph that nodes are added to.
        mask: Name of the mask.

    Returns:
        Name of the scores: 0 for a token, a very low number for padding.
    """
    rows = graph.add("Unsqueeze", mask, graph.constant([1, 2], "int64"))
    attended = graph.add("Cast", rows, to=float_type(graph))
    return graph.add("Mul", graph.add("Sub", graph.constant(1), attended), graph.constant(HIDDEN))


def split_heads(graph: Graph, x: str, heads: int, size: int, *, transposed: bool = False) -> str:
    """Bring (batch, sequence, heads * size) to (batch, heads, sequence, size), or with the last two exchanged.

    Args:
        graph: The graph that nodes are added to.
        x: Name of the activations.
        heads: Number of heads.
        size: Size of a head.
        transposed: Whether the last two axes are exchanged.

    Returns:
        Name of the result.
    """
    # In a shape, 0 keeps a dimension: the shape is a constant, though batch and sequence vary.
    apart = graph.add("Reshape", x, graph.constant([0, 0, heads, size], "int64"))
    return graph.add("Transpose", apart, perm=[0, 2, 3, 1] if transposed else [0, 2, 1, 3])


def merge_heads(graph: Graph, x: str, width: int) -> str:
    """Bring (batch, heads, sequence, size) back to (batch, sequence, width).

    Args:
        graph: The graph that nodes are added to.
        x: Name of the activations.
        width: Number of heads times the size of a head.

    Returns:
        Name of the result.
    """
    return graph.add("Reshape", graph.add("Transpose", x, perm=[0, 2, 1, 3]), graph.constant([0, 0, width], "int64"))


def attention(graph: Graph, query: str, keys: str, values: str, size: int, mask: str | None = None) -> str:
    """Add ``softmax(query @ keys / sqrt(size) + mask) @ values`` (Vaswani et al., arXiv:1706.03762).

    Args:
        graph: The graph.
        query: Shape (batch, heads, sequence, size).
        keys: Transposed already: shape (batch, heads, size, total).
        values: Shape (batch, heads, total, size).
        size: Of one head.
        mask: Scores to add, which fit (batch, heads, sequence, total).

    Returns:
        Name of the product.
    """
    scores = graph.add("Div", graph.add("MatMul", query, keys), graph.constant(math.sqrt(size)))
    if mask is not None:
        scores = graph.add("Add", scores, mask)
    return graph.add("MatMul", graph.add("Softmax", scores, axis=-1), values)
