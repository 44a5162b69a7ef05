"""Where a graph's weights come from."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = Callable[[str, tuple[int, ...]], NDArray[Any]]
"""Takes a weight's name, as transformers calls it, and its shape; returns its values."""

_DEVIATION = 0.02  # transformers' ``initializer_range`` of BERT, GPT-2, ViT and others


def random_weights(seed: int) -> Weights:
    """Return untrained weights: normal with deviation 0.02, biases 0, the scales of normalizations 1.

    Each weight depends on the seed and its own name only, not on the order in which they are asked for.

    Args:
        seed: Any whole number.

    Returns:
        A function that returns a weight by its name and shape.
    """

    def weight(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if name.endswith("bias"):
            return np.zeros(shape, np.float32)
        if len(shape) == 1:
            return np.ones(shape, np.float32)
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        values = generator.standard_normal(shape, dtype=np.float32)
        values *= _DEVIATION
        return values

    return weight


def safetensors_weights(path: Path, prefix: str = "") -> Weights:
    """Return the weights in a safetensors file, each read when it is asked for.

    Args:
        path: The file.
        prefix: What the file's names have before the architecture's own, such as ``bert.``.
    """
    from safetensors import safe_open

    def weight(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        with safe_open(path, framework="numpy") as file:
            values: NDArray[Any] = file.get_tensor(prefix + name)
        if values.shape != shape:
            raise ValueError(f"{prefix + name} in {path.name} has the shape {values.shape}, not {shape}.")
        return values

    return weight
