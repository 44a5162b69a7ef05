"""Whether a graph that was rewritten computes what it did before, tried out here before any browser is given it.

Both forms run in native onnxruntime as they stand, without its own optimizations, which would turn the one into the
other. Weights are mapped from the model's files and not packed, so that memory holds activations alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto

from webinfer.accuracy.comparison import Limits, compare, worst
from webinfer.accuracy.record import canaries
from webinfer.core.tensors import SOUND
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.vocabulary import Vocabulary

TOLERANCE = 1e-5
"""Largest difference, as a part of an output's largest value: over twelve layers another rounding of Gelu makes 2e-7 to
2e-6 in float32, a constant that is wrong in its third digit 1e-3."""
HALF_TOLERANCE = 5e-3
"""The same where activations are float16, which makes 4e-4 to 8e-4."""
ROUNDED_TOLERANCE = 2e-2
"""The same where activations are rounded to 8 bits: one that lies between two steps may take the other, 4e-3 away."""

_ROUNDING = ("QuantizeLinear", "DynamicQuantizeLinear")
_LENGTHS = (16, 224)  # of what has no fixed length: a short text, the usual image
_SOUND = 4000  # samples, a quarter of a second: convolutions leave nothing of 16

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Equality:
    """How a rewritten graph compares with the original.

    Attributes:
        fault: What is different, or why it could not be compared; ``None`` where both compute the same.
        error: Largest difference of any output, as a part of its largest value; ``None`` where it was not compared.
        tolerance: What that may be.
        seconds: What it took to find out.
    """

    fault: str | None
    error: float | None
    tolerance: float
    seconds: float


def compare_graphs(original: ModelProto, rewritten: ModelProto, package: ModelPackage) -> Equality:
    """Run the canary inputs through two forms of a model, one after the other.

    Args:
        original: Its outline.
        rewritten: The same, rewritten.
        package: The model, whose files hold the weights of both.
    """
    began, tolerance = time.monotonic(), _tolerance(original, package.precision)
    try:
        inputs, right = _answered(original, package)
        outputs = Graph(rewritten, package).run(inputs)
    except Exception as error:  # onnxruntime's exceptions have no public base
        reason = " ".join(str(error).split())
        return Equality(f"they could not be compared ({reason})", None, tolerance, time.monotonic() - began)
    deviations = worst([compare(one, two) for one, two in zip(outputs, right, strict=True)])
    limits = Limits(cosine=1 - tolerance, error=tolerance, top=0.0)
    fault = next((fault for deviation in deviations if (fault := deviation.beyond(limits))), None)
    return Equality(fault, max(deviation.error for deviation in deviations), tolerance, time.monotonic() - began)


class Graph:
    """One form of a model, in native onnxruntime, as it stands."""

    def __init__(self, model: ModelProto, package: ModelPackage) -> None:
        import onnxruntime  # late: it takes a while to import, and an outcome is kept

        files = {package.model.sha256: package.model.path} | {file.name: file.path for file in package.external}
        places = {name: path.resolve() for name, path in files.items()}  # a link that leads elsewhere is refused
        folder = Path(os.path.commonpath([place.parent for place in places.values()]))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # only what ends the process; the rest is raised
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        relative = {name: str(place.relative_to(folder)) for name, place in places.items()}
        data = _relocated(model, relative).SerializeToString()
        self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: list[Arrays]) -> list[Arrays]:
        """Return the outputs of each of these inputs, by name."""
        return [dict(zip(self._names, self._session.run(self._names, feeds), strict=True)) for feeds in inputs]


def _answered(model: ModelProto, package: ModelPackage) -> tuple[list[Arrays], list[Arrays]]:
    """Return inputs that the model takes, and its answers."""
    graph, failure = Graph(model, package), None
    for inputs in _candidates(package):
        try:
            return inputs, graph.run(inputs)
        except Exception as error:
            failure = error
    assert failure is not None
    raise failure


def _candidates(package: ModelPackage) -> Iterator[list[Arrays]]:
    sound = any(spec.name in SOUND for spec in package.signature.inputs)
    for length in (_SOUND,) if sound else _LENGTHS:
        yield canaries(package.signature, Vocabulary.of(package), length)


def _relocated(model: ModelProto, places: Mapping[str, str]) -> ModelProto:
    moved = ModelProto()
    moved.CopyFrom(model)
    for tensor in moved.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = places[entry.value]
    return moved


def _tolerance(model: ModelProto, precision: str) -> float:
    if any(node.op_type in _ROUNDING or _rounds(node.attribute) for node in model.graph.node):
        return ROUNDED_TOLERANCE
    return HALF_TOLERANCE if "16" in precision else TOLERANCE


def _rounds(attributes: Any) -> bool:
    """Whether these have an operator multiply in 8 bits: MatMulNBits' accuracy level 4."""
    return any(attribute.name == "accuracy_level" and attribute.i == 4 for attribute in attributes)
