"""EfficientNet-Lite0: EfficientNet (Tan and Le, arXiv:1905.11946) without squeeze-and-excitation, with ReLU6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.models.zoo.architectures.encoder import pixel_values
from webinfer.models.zoo.architectures.layers import as_float32, linear
from webinfer.models.zoo.formats.graph import Graph
from webinfer.models.zoo.formats.weights import Weights

IMAGE_SIZE, LABELS = 224, 1000
_STEM, _HEAD = 32, 1280  # channels, which the Lite models do not scale
_EPSILON = 1e-3  # of the batch normalizations
# Stages of EfficientNet-B0: repeats, kernel, stride of the first block, expansion, channels out.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# The normalization after each convolution, as the checkpoint names them.
_NORMS = {
    "_conv_stem": "_bn0",
    "_conv_head": "_bn1",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
}


def efficientnet_lite0(*, dtype: str = "float32") -> Graph:
    """Return the graph of the ImageNet classifier.

    Its input ``pixel_values`` is float32 of shape (batch, 3, 224, 224), its output ``logits`` float32 of shape
    (batch, 1000). Batch normalizations are part of the convolutions: ``folded`` gives the weights for that.

    Args:
        dtype: Dtype of weights and activations.
    """
    graph = Graph("efficientnet_lite0", dtype=dtype)
    x = pixel_values(graph, {"image_size": IMAGE_SIZE})
    x = _convolution(graph, x, "_conv_stem", (3, _STEM), kernel=3, stride=2, size=IMAGE_SIZE)
    channels, size, number = _STEM, IMAGE_SIZE // 2, 0
    for repeats, kernel, first, expansion, out in _STAGES:
        for stride in (first, *(1,) * (repeats - 1)):
            x = _block(graph, x, f"_blocks.{number}", (channels, out), kernel, stride, expansion, size)
            channels, size, number = out, size // stride, number + 1
    x = _convolution(graph, x, "_conv_head", (channels, _HEAD), kernel=1, stride=1, size=size)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", x), axis=1)
    logits = linear(graph, pooled, "_fc", _HEAD, LABELS)
    graph.output(as_float32(graph, logits), "logits", "float32", ("batch", LABELS))
    return graph


def folded(state: Mapping[str, NDArray[Any]]) -> Weights:
    """Return the graph's weights from a checkpoint, each batch normalization folded into the convolution before it.

    A normalization ``scale (x - mean) / sqrt(variance + epsilon) + bias`` of a convolution without a bias is a
    convolution whose kernels are scaled by ``scale / sqrt(variance + epsilon)`` (Jacob et al., arXiv:1712.05877).

    Args:
        state: The checkpoint's arrays by name.
    """

    def weight(name: str, _shape: tuple[int, ...]) -> NDArray[Any]:
        layer, _, kind = name.rpartition(".")
        block, dot, convolution = layer.rpartition(".")
        if convolution not in _NORMS:
            return state[name]
        norm = f"{block}{dot}{_NORMS[convolution]}"
        mean, variance, scale, bias = (
            state[f"{norm}.{part}"].astype(np.float64) for part in ("running_mean", "running_var", "weight", "bias")
        )
        factor = scale / np.sqrt(variance + _EPSILON)
        return bias - mean * factor if kind == "bias" else state[name] * factor[:, None, None, None]

    return weight


def _block(
    graph: Graph, x: str, name: str, channels: tuple[int, int], kernel: int, stride: int, expansion: int, size: int
) -> str:
    """Return the name of an inverted residual (Sandler et al., arXiv:1801.04381)."""
    before, out = channels
    wide = before * expansion
    y = x
    if expansion != 1:
        y = _convolution(graph, y, f"{name}._expand_conv", (before, wide), kernel=1, stride=1, size=size)
    y = _convolution(
        graph, y, f"{name}._depthwise_conv", (wide, wide), kernel=kernel, stride=stride, size=size, groups=wide
    )
    y = _convolution(
        graph, y, f"{name}._project_conv", (wide, out), kernel=1, stride=1, size=size // stride, active=False
    )
    return graph.add("Add", x, y) if stride == 1 and before == out else y


def _convolution(
    graph: Graph,
    x: str,
    name: str,
    channels: tuple[int, int],
    *,
    kernel: int,
    stride: int,
    size: int,
    groups: int = 1,
    active: bool = True,
) -> str:
    """Return a convolution and, where ``active``, ReLU6; its padding is that of TensorFlow's ``SAME``."""
    # SAME gives ceil(size / stride) outputs. Where the padding is odd, the end has one row and column more.
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    pads = [total // 2, total // 2, total - total // 2, total - total // 2]
    weights = graph.weight(f"{name}.weight", (channels[1], channels[0] // groups, kernel, kernel))
    y = graph.add(
        "Conv",
        x,
        weights,
        graph.weight(f"{name}.bias", (channels[1],)),
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=pads,
        group=groups,
    )
    return graph.add("Clip", y, graph.constant(0), graph.constant(6)) if active else y
