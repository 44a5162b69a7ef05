"""How large activations become: a model run natively on samples of what it is for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper

from webinfer.deployment.equivalence import Graph
from webinfer.models.files.package import ModelPackage
from webinfer.quantization.calibration.inputs import samples

_SAMPLES = 8


def largest(model: ModelProto, package: ModelPackage, names: list[str]) -> dict[str, NDArray[np.float32]]:
    """Return the largest magnitude that was seen of each channel, the last axis, of activations.

    Args:
        model: The model's outline.
        package: The model.
        names: Names of the activations.

    Raises:
        Exception: The model cannot be run natively; onnxruntime's exceptions have no public base.
    """
    watched = ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    graph, seen = Graph(watched, package), dict[str, NDArray[Any]]()
    for inputs in samples(package, _SAMPLES).calibrating:
        (activations,) = graph.run([inputs])
        for name, array in activations.items():
            now = np.abs(array).reshape(-1, array.shape[-1]).max(0, initial=0)
            seen[name] = np.maximum(seen[name], now) if name in seen else now
    return seen
